"""Grades a submission against the held-out test; the report has the benchmark's own keys.

    python -m harness.tasks.mlebench.grading ID DATA_DIR SUBMISSION.csv

prints the report as JSON: `launch` and `mlebench finish` have it in a process of its own.
"""

import importlib
import json
import math
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.tasks.mlebench.layout import (
    INSTALL,
    Competition,
    find_competition,
    package_folder,
    read_leaderboard,
)
from harness.tasks.mlebench.medals import Ranking, Thresholds, rank, thresholds
from harness.tasks.mlebench.metrics import LOWER_IS_BETTER, InvalidSubmissionError, grade_files

MEDALS = ("gold", "silver", "bronze")


def grade_submission(competition: Competition, submission: Path | None) -> dict[str, Any]:
    """The report of one submission (None: there is not one).

    Medals are None, which is unknown, where there is no leaderboard. `message` says why a
    submission is not valid.

    Raises:
        UserError: The competition cannot be graded here.
    """
    exists = submission is not None and submission.is_file()
    score, message = None, "" if exists else "there is no submission"
    if submission is not None and exists:
        if submission.suffix.lower() != ".csv":
            message = "a submission's name ends in .csv"
        else:
            score, message = _score(competition, submission)
    board = read_leaderboard(competition.leaderboard)
    limits = None if board is None else thresholds(board)
    return _report(competition, submission, score, limits) | {
        "submission_exists": exists,
        "valid_submission": score is not None,
        "message": message,
    }


def _report(
    competition: Competition,
    submission: Path | None,
    score: float | None,
    limits: Thresholds | None,
) -> dict[str, Any]:
    ranking: Ranking | None = None if limits is None else rank(score, limits)
    metric = competition.metric
    lower = limits.lower_is_better if limits is not None else metric in LOWER_IS_BETTER
    shown = None if score is None or not math.isfinite(score) else score
    report: dict[str, Any] = {"competition_id": competition.id, "score": shown}
    for name in (*MEDALS, "median"):
        report[f"{name}_threshold"] = None if limits is None else getattr(limits, name)
    report["any_medal"] = None if ranking is None else ranking.any_medal
    for name in MEDALS:
        report[f"{name}_medal"] = None if ranking is None else getattr(ranking, name)
    return report | {
        "above_median": None if ranking is None else ranking.above_median,
        "is_lower_better": lower,
        "created_at": datetime.now(UTC).isoformat(),
        "submission_path": None if submission is None else str(submission),
    }


def _score(competition: Competition, submission: Path) -> tuple[float | None, str]:
    if "grade_fn" in competition.config.get("grader", {}) and package_folder() is not None:
        return _by_package(competition, submission)
    if (metric := competition.metric) is None:
        raise UserError(
            f"{competition.id} cannot be graded here",
            expected="the package mlebench, or a metric of its grader's name in this harness",
            action=INSTALL,
        )
    if not competition.answers.is_file():
        raise UserError(
            f"the answers of {competition.id} are missing: {competition.answers}",
            expected="a prepared competition",
            action=f"harness mlebench check {competition.id} --data-dir {competition.data_dir}",
        )
    try:
        return round(grade_files(submission, competition.answers, metric), 5), ""
    except InvalidSubmissionError as error:
        return None, str(error)


def _by_package(competition: Competition, submission: Path) -> tuple[float | None, str]:
    """The competition's own grader, in a scratch folder: the package makes a cache in it."""
    submission, before = submission.resolve(), Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            pandas: Any = importlib.import_module("pandas")
            known: Any = importlib.import_module("mlebench.registry").registry
            entry: Any = known.set_data_dir(competition.data_dir).get_competition(competition.id)
            answers = competition.answers
            if answers.suffix == ".jsonl":
                read: Any = [json.loads(line) for line in answers.read_text().splitlines() if line]
            else:
                read = pandas.read_csv(answers)
            found = entry.grader(pandas.read_csv(submission), read)
        except Exception as error:  # any exception of a grader means: no score
            return None, f"refused by the competition's grader ({type(error).__name__})"
        finally:
            os.chdir(before)
    return (None, "refused by the competition's grader") if found is None else (float(found), "")


def main(arguments: list[str]) -> int:
    """Print the report of one submission."""
    competition, data_dir, submission = arguments
    found = find_competition(competition, Path(data_dir))
    report = grade_submission(found, Path(submission) if submission else None)
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
