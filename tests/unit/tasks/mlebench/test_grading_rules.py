"""MLE-bench's contract: medal positions, ties, directions, metrics, what a bad submission is told."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tasks.mlebench import metrics
from harness.tasks.mlebench.grading import grade_submission
from harness.tasks.mlebench.layout import Competition, is_lfs_pointer, problems, read_leaderboard
from harness.tasks.mlebench.medals import medal_positions, rank, thresholds
from harness.tasks.mlebench.registry import SPLITS

POINTS = {
    1: (1, 1, 1),
    9: (1, 1, 3),
    99: (9, 19, 39),
    100: (10, 20, 40),
    249: (10, 49, 99),
    250: (10, 50, 100),
    999: (11, 50, 100),
    1000: (12, 50, 100),
    2000: (14, 100, 200),
    5000: (20, 250, 500),
}


@pytest.mark.parametrize("teams", POINTS)
def test_medal_positions_are_those_of_the_benchmark(teams: int) -> None:
    assert medal_positions(teams) == POINTS[teams]


def test_no_teams_is_an_error() -> None:
    with pytest.raises(ValueError, match="without teams"):
        medal_positions(0)


def test_direction_ties_and_median() -> None:
    up = thresholds([float(100 - place) for place in range(100)])
    assert not up.lower_is_better
    assert rank(91.0, up).medal == "gold"  # as good as the tenth
    assert rank(90.9, up).medal == "silver"
    assert rank(61.0, up).medal == "bronze"
    assert rank(60.9, up).medal == "none"
    assert rank(60.9, up).above_median
    assert not rank(50.5, up).above_median  # strictly better only
    down = thresholds([1.0, 2.0, 3.0])
    assert down.lower_is_better
    assert rank(1.0, down).medal == "gold"
    equal = thresholds([1.0, 1.0])
    assert not equal.lower_is_better
    assert rank(1.0, equal).medal == "gold"
    assert rank(None, up).medal == rank(math.nan, up).medal == "none"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.floats(-1e6, 1e6))
def test_medals_exclude_one_another_and_get_no_better_with_a_worse_score(
    scores: list[float], score: float
) -> None:
    limits = thresholds(sorted(scores, reverse=True))
    found = rank(score, limits)
    assert sum((found.gold, found.silver, found.bronze)) <= 1
    order = ("none", "bronze", "silver", "gold")
    worse = rank(score + 1 if limits.lower_is_better else score - 1, limits)
    assert order.index(worse.medal) <= order.index(found.medal)


def test_the_splits_have_the_benchmark_s_sizes() -> None:
    sizes = {name: len(set(ids)) for name, ids in SPLITS.items()}
    assert sizes == {
        "low": 22, "lite": 22, "medium": 38, "high": 15, "all": 75, "dev": 7, "demo": 3,
    }  # fmt: skip


def _files(tmp_path: Path, answers: str, submission: str) -> tuple[Path, Path]:
    first, second = tmp_path / "submission.csv", tmp_path / "answers.csv"
    first.write_text(submission, encoding="utf-8")
    second.write_text(answers, encoding="utf-8")
    return first, second


@pytest.mark.parametrize(
    ("metric", "answers", "guesses", "score"),
    [
        ("accuracy", ["a", "b", "c"], ["a", "b", "a"], 2 / 3),
        ("accuracy", ["True", "1", "2"], ["true", "1.0", "2"], 1.0),
        ("auc", ["0", "0", "1", "1"], ["0.1", "0.4", "0.35", "0.8"], 0.75),
        ("auc", ["0", "1"], ["0.5", "0.5"], 0.5),
        ("logloss", ["1", "0"], ["0.5", "0.5"], math.log(2)),
        ("rmse", ["1", "3"], ["1", "1"], math.sqrt(2)),
        ("rmsle", ["0"], [str(math.e - 1)], 1.0),
        ("mae", ["1", "3"], ["1", "1"], 1.0),
        ("r2", ["1", "3"], ["2", "2"], 0.0),
        ("f1", ["1", "0", "1"], ["1", "1", "0"], 0.5),
        ("macro_f1", ["a", "b"], ["a", "a"], (2 / 3) / 2),
        ("qwk", ["0", "1", "2"], ["0", "1", "2"], 1.0),
        ("qwk", ["0", "2"], ["2", "0"], -1.0),
        ("map@3", ["x", "y"], ["x z", "a b y x"], (1 + 1 / 3) / 2),
    ],
)
def test_metrics(
    tmp_path: Path, metric: str, answers: list[str], guesses: list[str], score: float
) -> None:
    files = (
        "id,t\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
        for values in (answers, guesses)
    )
    assert metrics.grade_files(*_files(tmp_path, *files), metric) == pytest.approx(score)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_the_auc_is_the_share_of_pairs_in_order(rows: list[tuple[bool, int]]) -> None:
    ones = [value for label, value in rows if label]
    zeros = [value for label, value in rows if not label]
    truth, guess = [str(int(label)) for label, _ in rows], [str(value) for _, value in rows]
    if not ones or not zeros:
        with pytest.raises(metrics.InvalidSubmissionError):
            metrics.auc(truth, guess, "t")
        return
    pairs = np.mean([(a > b) + (a == b) / 2 for a in ones for b in zeros])
    assert metrics.auc(truth, guess, "t") == pytest.approx(float(pairs))


def test_multiclass_rows_are_normalised(tmp_path: Path) -> None:
    files = _files(tmp_path, "id,a,b\n1,1,0\n", "id,b,a\n1,1,3\n")
    assert metrics.grade_files(*files, "multiclass_logloss") == pytest.approx(-math.log(0.75))


@pytest.mark.parametrize(
    ("submission", "told"),
    [
        ("", "empty"),
        ("id,x\n1,2\n2,3\n", "columns"),
        ("id,t\n1,2\n", "1 ids are missing"),
        ("id,t\n1,2\n1,3\n", "twice"),
        ("id,t\n1,2\n2,3\n3,4\n", "3 rows"),
        ("id,t\n1,2\n2,nan\n", "not finite"),
        ("id,t\n1,2\n2,much\n", "no number"),
        ("id,t\n1,2\n2\n", "fields"),
    ],
)
def test_a_bad_submission_is_told_without_the_answers(
    tmp_path: Path, submission: str, told: str
) -> None:
    files = _files(tmp_path, "id,t\n1,71717\n2,82828\n", submission)
    with pytest.raises(metrics.InvalidSubmissionError, match=told) as caught:
        metrics.grade_files(*files, "rmse")
    assert not {"71717", "82828"} & set(str(caught.value).split())


def _competition(tmp_path: Path, leaderboard: str | None) -> Competition:
    folder = tmp_path / "own"
    for part in ("public", "private"):
        (folder / "prepared" / part).mkdir(parents=True)
    text = "id,t\n1,0\n2,1\n"
    (folder / "prepared" / "private" / "test.csv").write_text(text)
    (folder / "prepared" / "public" / "sample.csv").write_text("id,t\n1,0\n2,0\n")
    board = None
    if leaderboard is not None:
        (board := folder / "leaderboard.csv").write_text(leaderboard)
    dataset = {
        "answers": "own/prepared/private/test.csv",
        "sample_submission": "own/prepared/public/sample.csv",
    }
    config = {"id": "own", "dataset": dataset, "grader": {"name": "accuracy"}}
    return Competition("own", tmp_path, config, board)


def test_without_a_leaderboard_there_is_a_score_and_medals_are_unknown(tmp_path: Path) -> None:
    competition = _competition(tmp_path, None)
    report = grade_submission(competition, competition.sample)
    assert report["score"] == 0.5
    assert report["valid_submission"]
    assert report["any_medal"] is report["gold_medal"] is report["above_median"] is None
    assert any("medals stay unknown" in each for each in problems(competition))


def test_a_pointer_of_git_lfs_is_named_and_never_parsed(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    competition = _competition(tmp_path, pointer)
    board = competition.leaderboard
    assert board is not None
    assert is_lfs_pointer(board)
    assert read_leaderboard(board) is None
    assert any(str(board) in each for each in problems(competition))


def test_reports_of_missing_and_invalid_submissions(tmp_path: Path) -> None:
    competition = _competition(tmp_path, "score\n0.9\n0.5\n0.1\n")
    missing = grade_submission(competition, None)
    assert (missing["submission_exists"], missing["valid_submission"]) == (False, False)
    assert missing["any_medal"] is False
    assert missing["median_threshold"] == 0.5
    (text := tmp_path / "submission.txt").write_text("id,t\n")
    assert not grade_submission(competition, text)["valid_submission"]
    good = grade_submission(competition, competition.answers)
    assert (good["score"], good["gold_medal"], good["silver_medal"]) == (1.0, True, False)


@pytest.mark.skipif(
    importlib.util.find_spec("mlebench") is None, reason="the package mlebench is not installed"
)
def test_medals_are_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the package makes a cache in the current folder
    helpers = importlib.import_module("mlebench.grade_helpers")
    pandas = importlib.import_module("pandas")
    grader = helpers.Grader(
        name="x", grade_fn="mlebench.competitions.spaceship-titanic.grade:grade"
    )
    for teams in (1, 9, 99, 100, 249, 250, 999, 1000, 2000):
        for sign in (1.0, -1.0):
            scores = [sign * (teams - place) for place in range(teams)]
            board = pandas.DataFrame({"score": scores})
            for score in {scores[0], scores[teams // 10], scores[teams // 3], scores[-1]}:
                theirs = grader.rank_score(score, board)
                ours = rank(score, thresholds(scores))
                for medal in ("gold", "silver", "bronze"):
                    assert theirs[f"{medal}_medal"] == getattr(ours, medal), (teams, score)
                assert theirs["above_median"] == ours.above_median
