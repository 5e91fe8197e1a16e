"""First solution: hands the sample submission in, and claims nothing for it."""

import json
import shutil
import sys
from pathlib import Path

data = Path(sys.argv[1])
about = json.loads((data / "competition.json").read_text(encoding="utf-8"))
shutil.copyfile(data / about["sample_submission"], "submission.csv")
claim = 0.0 if about["direction"] == "maximize" else 1e9
Path("validation.json").write_text(json.dumps({"score": claim}), encoding="utf-8")
