import argparse
import json
import runpy
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--program_path", required=True)
parser.add_argument("--results_dir", required=True)
given = parser.parse_args()

value = runpy.run_path(given.program_path)["VALUE"]
correct = value < 100
results = Path(given.results_dir)
(results / "metrics.json").write_text(
    json.dumps({"combined_score": value, "public": {"value": value}, "text_feedback": "measured"})
)
(results / "correct.json").write_text(
    json.dumps({"correct": correct, "error": None if correct else "too large"})
)
sys.exit(3)  # which says nothing
