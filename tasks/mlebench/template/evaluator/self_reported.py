"""Takes the score that a candidate reports of itself; the submission's format is checked."""

import csv
import json
import math
from pathlib import Path
from typing import Any


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """The reported number, marked `self_reported` in the verdict's metrics."""
    try:
        score = json.loads((outputs / "validation.json").read_text(encoding="utf-8"))["score"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"score": None, "feedback": 'validation.json must be {"score": NUMBER}'}
    if type(score) not in (int, float) or not math.isfinite(score):
        return {"score": None, "feedback": "the score in validation.json is no finite number"}
    try:
        header, ids = _ids(outputs / "submission.csv")
    except (UnicodeDecodeError, csv.Error, IndexError):
        return {"score": None, "feedback": "submission.csv is not a CSV file in UTF-8"}
    wanted, known = _ids(private / "sample.csv")
    if header != wanted or sorted(ids) != sorted(known):
        return {
            "score": None,
            "feedback": "submission.csv has not the columns and ids of the sample",
        }
    return {"score": score, "metrics": {"self_reported": 1.0}, "feedback": "self-reported score"}


def _ids(path: Path) -> tuple[list[str], list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    return rows[0], [row[0] for row in rows[1:]]
