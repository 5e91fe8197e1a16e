"""What runs in a package's own environment, with the standard library and that package alone.

A copy of this file is OpenEvolve's evaluator (it calls `evaluate`) and ShinkaEvolve's (a command
with `--program_path` and `--results_dir`), and starts GEPA, which has no command
(`--gepa OPTIONS.json`).
"""

import argparse
import importlib
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

URL = "SEARCH_BENCHMARK_URL"
"""The environment variable that names the server; its address ends in `/v1`."""
TIMEOUT_S = 60.0


def ask(url: str, model: str, content: str) -> str:
    """One question to an OpenAI-compatible server and its answer.

    Raises:
        OSError: When the server does not answer, or refuses.
    """
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}]}
    request = urllib.request.Request(
        f"{url}/chat/completions",
        data=json.dumps(body).encode("utf-8"),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


def score(source: str) -> float:
    return float(ask(os.environ[URL], "judge", source))


def propose(prompt: str) -> str:
    return ask(os.environ[URL], "proposer", prompt)


def evaluate(program_path: str) -> dict[str, float]:
    """OpenEvolve's evaluator."""
    return {"combined_score": score(Path(program_path).read_text(encoding="utf-8"))}


def evaluate_for_shinka(program: Path, results: Path) -> None:
    """ShinkaEvolve's evaluator: it reads two files."""
    found = score(program.read_text(encoding="utf-8"))
    results.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, Any] = {"combined_score": found, "public": {}, "private": {}}
    (results / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    verdict = {"correct": True, "error": None}
    (results / "correct.json").write_text(json.dumps(verdict), encoding="utf-8")


def run_gepa(options: dict[str, Any]) -> None:
    """GEPA in its mode for a single task; all that isn't named is its default."""
    gepa = importlib.import_module("gepa.optimize_anything")
    engine = gepa.EngineConfig(**options["engine"])
    reflection = gepa.ReflectionConfig(reflection_lm=propose)
    gepa.optimize_anything(
        seed_candidate=options["program"],
        evaluator=score,
        config=gepa.GEPAConfig(engine=engine, reflection=reflection),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program_path", type=Path)
    parser.add_argument("--results_dir", type=Path)
    parser.add_argument("--gepa", type=Path)
    args = parser.parse_args()
    if args.gepa:
        run_gepa(json.loads(args.gepa.read_text(encoding="utf-8")))
    else:
        evaluate_for_shinka(args.program_path, args.results_dir)


if __name__ == "__main__":
    main()
