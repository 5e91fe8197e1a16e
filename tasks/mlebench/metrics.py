"""Metrics of competitions on CSV files. Standard library and numpy; copied beside each judge.

A submission has the columns of the answers and a row for each of their ids. What is wrong with one
is told by columns and counts, never by a value of the answers.
"""

import csv
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Column = Sequence[str]
EPSILON = 1e-15
LOWER_IS_BETTER = frozenset({"logloss", "multiclass_logloss", "rmse", "rmsle", "mae"})
_MAP = re.compile(r"map@([1-9]\d*)")


class InvalidSubmissionError(Exception):
    """The submission breaks the format; the message is for whoever wrote it."""


def known(metric: str) -> bool:
    """Whether there is a metric of that name."""
    return metric in _BY_COLUMN or metric == "multiclass_logloss" or bool(_MAP.fullmatch(metric))


def names() -> list[str]:
    """Every metric, `map@k` for any k."""
    return sorted([*_BY_COLUMN, "multiclass_logloss", "map@k"])


def grade_files(submission: Path, answers: Path, metric: str) -> float:
    """The score of a submission.

    Raises:
        InvalidSubmissionError: It is not in the format of the answers.
    """
    truth, guesses, columns = aligned(submission, answers)
    return _score(metric, truth, guesses, columns)


def grade_parts(submission: Path, answers: Path, metric: str, count: int) -> list[float]:
    """The scores of up to `count` disjoint parts of the rows: how far they lie apart tells how much
    of a score is chance. Parts whose metric is not defined are left out.

    Raises:
        InvalidSubmissionError: It is not in the format of the answers.
    """
    truth, guesses, columns = aligned(submission, answers)
    scores: list[float] = []
    for first in range(min(count, len(truth))):
        try:
            scores.append(_score(metric, truth[first::count], guesses[first::count], columns))
        except InvalidSubmissionError:
            continue
    return scores


def aligned(
    submission: Path, answers: Path
) -> tuple[list[list[str]], list[list[str]], Sequence[str]]:
    """Rows of the answers and those of the submission for the same ids, and their columns.

    Raises:
        InvalidSubmissionError: The submission has not the columns and ids of the answers.
    """
    truth_header, truth = _read(answers)
    header, rows = _read(submission)
    columns = truth_header[1:]
    _check_columns(header, truth_header)
    order = [header.index(name) for name in truth_header]
    predicted: dict[str, list[str]] = {}
    for row in rows:
        values = [row[index] for index in order]
        if values[0] in predicted:
            raise InvalidSubmissionError(f"an id of column {truth_header[0]!r} is there twice")
        predicted[values[0]] = values[1:]
    ids = [row[0] for row in truth]
    missing = sum(1 for each in ids if each not in predicted)
    if missing or len(predicted) != len(ids):
        raise InvalidSubmissionError(
            f"{len(predicted)} rows, {missing} ids are missing; expected are the ids of the sample "
            f"submission, {len(ids)} of them"
        )
    return [row[1:] for row in truth], [predicted[each] for each in ids], columns


def _score(
    metric: str, truth: list[list[str]], guesses: list[list[str]], columns: Sequence[str]
) -> float:
    if metric == "multiclass_logloss":
        given = [_numbers([row[i] for row in guesses], name) for i, name in enumerate(columns)]
        table = np.column_stack(given)
        answer = np.array([[float(value) for value in row] for row in truth])
        return _multiclass_logloss(answer, table)
    if match := _MAP.fullmatch(metric):
        firsts = [row[0] for row in guesses]
        return _map_at(int(match[1]), [row[0] for row in truth], firsts)
    by_column = _BY_COLUMN[metric]
    scores = [
        by_column([row[i] for row in truth], [row[i] for row in guesses], name)
        for i, name in enumerate(columns)
    ]
    return float(np.mean(scores))


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InvalidSubmissionError(f"{path.name} is not a CSV file in UTF-8") from None
    if not rows:
        raise InvalidSubmissionError(f"{path.name} is empty")
    header = rows[0]
    if any(len(row) != len(header) for row in rows):
        raise InvalidSubmissionError(f"{path.name}: a row has not {len(header)} fields")
    return header, rows[1:]


def _check_columns(header: Sequence[str], expected: Sequence[str]) -> None:
    if sorted(header) != sorted(expected):
        shown = ", ".join(expected[:10]) + (", …" if len(expected) > 10 else "")
        raise InvalidSubmissionError(f"the columns must be: {shown}")


def _numbers(values: Column, column: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    try:
        found = np.array([float(value) for value in values])
    except ValueError:
        raise InvalidSubmissionError(f"column {column!r} has a value that is no number") from None
    if not np.isfinite(found).all():
        raise InvalidSubmissionError(f"column {column!r} has a value that is not finite")
    return found


def _same(label: str) -> str:
    """One spelling of a label: 3.0 is 3, TRUE is true."""
    text = label.strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        return text
    return repr(int(number)) if math.isfinite(number) and number == int(number) else repr(number)


def accuracy(truth: Column, guess: Column, column: str) -> float:
    """Share of labels that are right."""
    hits = sum(_same(a) == _same(b) for a, b in zip(truth, guess, strict=True))
    return hits / len(truth)


def _truth(values: Column) -> "np.ndarray[Any, np.dtype[np.float64]]":
    words = {"true": 1.0, "false": 0.0}
    return np.array([words[v.lower()] if v.lower() in words else float(v) for v in values])


def auc(truth: Column, guess: Column, column: str) -> float:
    """Area under the ROC curve by ranks, ties shared."""
    label, score = _truth(truth), _numbers(guess, column)
    positive = label > 0.5
    pairs = int(positive.sum()) * int((~positive).sum())
    if pairs == 0:
        raise InvalidSubmissionError(f"the AUC of column {column!r} is not defined")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / pairs)


def logloss(truth: Column, guess: Column, column: str) -> float:
    """Mean cross-entropy of the probability that the label is 1."""
    label, given = _truth(truth), _numbers(guess, column)
    if (given < 0).any() or (given > 1).any():
        raise InvalidSubmissionError(f"column {column!r} has a value outside 0 to 1")
    p = np.clip(given, EPSILON, 1 - EPSILON)
    return float(-np.mean(label * np.log(p) + (1 - label) * np.log(1 - p)))


def _multiclass_logloss(answer: Any, table: Any) -> float:
    if (table < 0).any() or (table.sum(axis=1) <= 0).any():
        raise InvalidSubmissionError("probabilities must not be negative, nor all 0 in a row")
    p: Any = np.clip(table / table.sum(axis=1, keepdims=True), EPSILON, 1)
    return -float((answer * np.log(p)).sum(axis=1).mean())


def rmse(truth: Column, guess: Column, column: str) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((_truth(truth) - _numbers(guess, column)) ** 2)))


def rmsle(truth: Column, guess: Column, column: str) -> float:
    """Root of the mean squared error of log(1 + value)."""
    given = _numbers(guess, column)
    if (given < 0).any():
        raise InvalidSubmissionError(f"column {column!r} has a negative value")
    return float(np.sqrt(np.mean((np.log1p(_truth(truth)) - np.log1p(given)) ** 2)))


def mae(truth: Column, guess: Column, column: str) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(_truth(truth) - _numbers(guess, column))))


def r2(truth: Column, guess: Column, column: str) -> float:
    """Coefficient of determination."""
    label = _truth(truth)
    spread = float(np.sum((label - label.mean()) ** 2))
    return 1 - float(np.sum((label - _numbers(guess, column)) ** 2)) / spread if spread else 0.0


def f1(truth: Column, guess: Column, column: str) -> float:
    """F1 of the label 1."""
    return _f1_of("1", [_bit(value) for value in truth], [_bit(value) for value in guess])


def macro_f1(truth: Column, guess: Column, column: str) -> float:
    """Mean of the F1 of each label that either side has."""
    real, given = [_same(v) for v in truth], [_same(v) for v in guess]
    return float(np.mean([_f1_of(label, real, given) for label in sorted({*real, *given})]))


def _bit(value: str) -> str:
    return {"true": "1", "false": "0"}.get(same := _same(value), same)


def _f1_of(label: str, real: Sequence[str], given: Sequence[str]) -> float:
    hits = sum(a == label == b for a, b in zip(real, given, strict=True))
    total = sum(a == label for a in real) + sum(b == label for b in given)
    return 2 * hits / total if total else 0.0


def qwk(truth: Column, guess: Column, column: str) -> float:
    """Cohen's kappa with quadratic weights, over whole-number ratings."""
    real, given = _truth(truth), _numbers(guess, column)
    if (given != np.round(given)).any():
        raise InvalidSubmissionError(f"column {column!r} has a value that is no whole number")
    observed = np.mean((real - given) ** 2)
    expected = np.mean(real**2) + np.mean(given**2) - 2 * np.mean(real) * np.mean(given)
    return float(1 - observed / expected) if expected else 1.0


def _map_at(k: int, truth: Column, guess: Column) -> float:
    """Mean of 1/place of the one right label among the first k, separated by blanks."""
    total = 0.0
    for label, line in zip(truth, guess, strict=True):
        places = line.split()[:k]
        total += 1 / (places.index(label) + 1) if label in places else 0.0
    return total / len(truth)


_BY_COLUMN: dict[str, Callable[[Column, Column, str], float]] = {
    "accuracy": accuracy,
    "auc": auc,
    "f1": f1,
    "logloss": logloss,
    "macro_f1": macro_f1,
    "mae": mae,
    "qwk": qwk,
    "r2": r2,
    "rmse": rmse,
    "rmsle": rmsle,
}
