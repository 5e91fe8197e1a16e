"""What is found in a candidate's output and files, and what is not."""

import csv
import random
from pathlib import Path

import pytest

from harness.tasks.mlebench.checks import (
    forbidden_in,
    gap,
    ids_by_heart,
    self_reported,
    sources,
)
from harness.tasks.mlebench.metrics import grade_files, grade_parts


@pytest.mark.parametrize(
    ("printed", "score"),
    [
        ("validation score: 0.25", 0.25),
        ("fold 1\nValidation Score = 1e-3 (logloss)\n", 0.001),
        ("validation score: 0.5\nvalidation score: 0.4\n", 0.4),
        ("CV logloss: 0.31\nvalidation score: 0.3\nOOF auc: 0.9", 0.3),
        ("oof rmse over 5 folds = -12.5", -12.5),
        ("val accuracy: 97.5 %", 0.975),
        ("validation score: nan", None),
        ("validation score: 1e999", None),
        ("interval: 3", None),
        ("", None),
    ],
)
def test_own_validation_is_read_from_the_output(printed: str, score: float | None) -> None:
    assert self_reported(printed) == score


def test_a_gap_counts_against_what_chance_explains() -> None:
    parts = [0.4, 0.5, 0.6, 0.5]
    far = gap(0.1, 0.5, parts, minimize=True)
    assert far.size == pytest.approx(0.4)
    assert far.error == pytest.approx(0.0408, abs=1e-4)
    assert far.suspicious
    assert not gap(0.4, 0.5, parts, minimize=True).suspicious, "chance explains it"
    assert not gap(0.9, 0.5, parts, minimize=True).suspicious, "it is worse, not better"
    assert gap(0.9, 0.5, parts, minimize=False).suspicious
    assert not gap(0.1, 0.5, parts[:2], minimize=True).suspicious, "nothing tells the error"


def test_ids_by_heart_and_forbidden_words_are_found(tmp_path: Path) -> None:
    ids = [f"case-{number:03}" for number in range(200)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.json").write_text(str(dict.fromkeys(ids[:20], 1)))
    (tmp_path / "solve.py").write_text("open('/x/prepared/private/test.csv')\n")
    (tmp_path / "model.bin").write_bytes(b"\0" + "\n".join(ids).encode())
    files = sources(tmp_path)
    assert set(files) == {"data/table.json", "solve.py"}
    assert ids_by_heart(files, ids) == (20, "data/table.json")
    assert forbidden_in(files) == ("prepared/private", "solve.py")
    few = {"solve.py": " ".join(ids[:9]), "b.py": "read_csv('sample_submission.csv')"}
    assert ids_by_heart(few, ids) == (0, "")
    assert forbidden_in(few) == ("", "")
    assert sources(tmp_path / "nothing") == {}


def test_parts_of_the_rows_tell_the_error_of_a_score(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [(str(i), draw.gauss(0, 1)) for i in range(1000)]
    for name, noise in (("answers.csv", 0.0), ("submission.csv", 1.0)):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "y"])
            writer.writerows((i, y + noise * draw.gauss(0, 1)) for i, y in rows)
    files = tmp_path / "submission.csv", tmp_path / "answers.csv"
    parts = grade_parts(*files, "rmse", 10)
    assert len(parts) == 10
    assert grade_files(*files, "rmse") == pytest.approx(sum(parts) / 10, rel=0.01)
    # Of 1,000 normal errors the root mean square is 1 with a standard error of 1 / sqrt(2,000).
    error = gap(1.0, 1.0, parts, minimize=True).error
    assert error == pytest.approx(2000**-0.5, rel=0.6)
