"""Scores submission.csv on the rows that the harness held back from the training data."""

import json
from pathlib import Path
from typing import Any

from metrics import InvalidSubmissionError, grade_files


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """The competition's metric; an invalid submission is told by its columns and counts alone."""
    metric = json.loads((private / "validation.json").read_text(encoding="utf-8"))["metric"]
    try:
        score = grade_files(outputs / "submission.csv", private / "answers.csv", metric)
    except InvalidSubmissionError as error:
        return {"score": None, "feedback": f"invalid submission: {error}"}
    return {"score": score, "feedback": "valid submission"}
