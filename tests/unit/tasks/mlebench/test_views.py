"""The hidden split: fixed, without labels where agents look, refused where there cannot be one."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import UserError
from harness.tasks.loader import load_task
from harness.tasks.mlebench.layout import Competition, problems
from harness.tasks.mlebench.modality import KNOWLEDGE, modalities
from harness.tasks.mlebench.native import native_task
from harness.tasks.mlebench.sampling import OF_EACH_LABEL, TEST_ROWS, TRAIN_ROWS, WORTH_IT

ROWS = 60


def _write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _competition(tmp_path: Path, metric: str, header: list[str], cells: list[str]) -> Competition:
    """Training rows with ids, one column `x` and a label; `header` is the sample's."""
    public = tmp_path / "c" / "prepared" / "public"
    train = [[f"a{i}", i, cells[i % len(cells)]] for i in range(ROWS)]
    _write(public / "train.csv", ["id", "x", "label"], [list(row) for row in train])
    _write(public / "test.csv", ["id", "x"], [[f"b{i}", i] for i in range(10)])
    empty: list[list[object]] = [[f"b{i}", *(0 for _ in header[1:])] for i in range(10)]
    _write(public / "sample.csv", header, empty)
    (public / "extra").mkdir()
    (public / "extra" / "notes.txt").write_text("as it is")
    config = {
        "dataset": {"sample_submission": "c/prepared/public/sample.csv"},
        "grader": {"name": metric},
    }
    return Competition("c", tmp_path, config, None)


def test_a_table_is_split_without_its_labels_the_same_each_time(tmp_path: Path) -> None:
    competition = _competition(tmp_path / "one", "accuracy", ["id", "label"], ["u", "v"])
    made = native_task(competition)
    task = load_task(made.folder)
    data = task.file.environment.data
    assert data is not None
    search = Path(data.path)
    train, test = _read(search / "train.csv"), _read(search / "test.csv")
    answers = _read(made.folder / "private" / "answers.csv")
    assert (len(train), len(test), len(answers)) == (48, 12, 12)
    assert not {row["id"] for row in train} & {row["id"] for row in test}
    assert list(test[0]) == ["id", "x"]
    assert {row["label"] for row in _read(search / "sample.csv")} == {"0"}
    assert [row["id"] for row in _read(search / "sample.csv")] == [row["id"] for row in answers]
    assert (search / "extra" / "notes.txt").read_text() == "as it is"
    assert len(_read(made.final / "train.csv")) == ROWS
    again = native_task(_competition(tmp_path / "two", "accuracy", ["id", "label"], ["u", "v"]))
    assert _read(again.folder / "private" / "answers.csv") == answers
    assert native_task(competition) == made


def test_classes_as_columns_of_the_submission(tmp_path: Path) -> None:
    competition = _competition(tmp_path, "multiclass_logloss", ["id", "u", "v"], ["u", "v"])
    made = native_task(competition)
    about = json.loads((made.final / "competition.json").read_text())
    assert (about["label"], about["answer"], about["direction"]) == (
        "label", "probability", "minimize",
    )  # fmt: skip
    for row in _read(made.folder / "private" / "answers.csv"):
        assert int(row["u"]) + int(row["v"]) == 1


def test_files_with_a_label_file_move_to_the_test(tmp_path: Path) -> None:
    competition = _competition(tmp_path, "auc", ["id", "label"], ["0", "1"])
    public = competition.public
    (public / "test.csv").unlink()
    for folder, letter, count in (("train", "a", ROWS), ("test", "b", 10)):
        (public / folder).mkdir()
        for i in range(count):
            (public / folder / f"{letter}{i}.jpg").write_bytes(b"image")
    made = native_task(competition)
    data = load_task(made.folder).file.environment.data
    assert data is not None
    shown = Path(data.path)
    hidden = {row["id"] for row in _read(made.folder / "private" / "answers.csv")}
    assert {path.stem for path in (shown / "test").iterdir()} == hidden
    assert len(list((shown / "train").iterdir())) == ROWS - len(hidden)
    assert (made.folder / "knowledge" / "image.md").is_file()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("train.csv", "public data have none of"),
        ("test.csv", "neither a test.csv"),
        ("sample.csv", "no sample submission"),
    ],
)
def test_launch_says_why_no_split_can_be_made(tmp_path: Path, change: str, why: str) -> None:
    competition = _competition(tmp_path, "auc", ["id", "label"], ["0", "1"])
    (competition.public / change).unlink()
    with pytest.raises(UserError, match=why):
        native_task(competition)
    assert not list((competition.folder / "harness").glob(".draft-*"))


def test_changed_data_are_noticed(tmp_path: Path) -> None:
    made = native_task(_competition(tmp_path, "accuracy", ["id", "label"], ["u", "v"]))
    data = load_task(made.folder).file.environment.data
    assert data is not None
    (Path(data.path) / "train.csv").write_text("id,x,label\n")
    with pytest.raises(UserError, match="have changed"):
        load_task(made.folder)


def test_notes_are_chosen_by_the_files_alone(tmp_path: Path) -> None:
    sentence = "a sentence of quite a few words that a person might have written"
    _write(tmp_path / "t" / "train.csv", ["id", "text", "y"], [[i, sentence, 1] for i in range(9)])
    assert modalities(tmp_path / "t") == ["text"]
    _write(tmp_path / "s" / "train.csv", ["id", "date", "a", "y"], [[1, "2020-01-01", 2, 3]])
    assert modalities(tmp_path / "s") == ["tabular", "time_series"]
    (tmp_path / "w").mkdir()
    for name in "ab":
        (tmp_path / "w" / f"{name}.wav").write_bytes(b"")
    assert modalities(tmp_path / "w") == ["audio"]
    notes = {path.stem for path in KNOWLEDGE.glob("*.md")}
    assert notes == {"general", "tabular", "image", "text", "audio", "time_series"}


def test_of_many_data_a_sample_has_the_same_form_and_some_of_each_label(tmp_path: Path) -> None:
    competition = _competition(tmp_path, "accuracy", ["id", "label"], ["u", "v"])
    assert "sample" not in _data(native_task(competition).folder), (
        "few data take little time anyway"
    )
    rows = 2 * WORTH_IT
    labels = ["rare" if i % (rows // 10) == 0 else "often" for i in range(rows)]
    train = [[f"a{i}", i, label] for i, label in enumerate(labels)]
    _write(competition.public / "train.csv", ["id", "x", "label"], [list(row) for row in train])
    made = native_task(competition)
    data = _data(made.folder)
    search, sample = Path(data["path"]), Path(data["sample"]["path"])
    part, whole = _read(sample / "train.csv"), _read(search / "train.csv")
    assert TRAIN_ROWS <= len(part) <= TRAIN_ROWS + 2 * OF_EACH_LABEL
    assert [row for row in whole if row in part] == part, "rows of the view, in its order"
    assert sum(row["label"] == "rare" for row in part) >= OF_EACH_LABEL
    test = _read(sample / "test.csv")
    assert test == _read(search / "test.csv")[:TEST_ROWS]
    form = _read(made.folder / "private" / "sample.csv")
    assert [row["id"] for row in form] == [row["id"] for row in test]
    assert {path.name for path in sample.iterdir()} == {path.name for path in search.iterdir()}
    (sample / "train.csv").write_text("id,x,label\n")
    with pytest.raises(UserError, match="have changed"):
        load_task(made.folder)


@pytest.mark.slow
def test_a_sample_of_files(tmp_path: Path) -> None:
    competition = _competition(tmp_path, "auc", ["id", "label"], ["0", "1"])
    public, rows = competition.public, 2 * WORTH_IT
    (public / "test.csv").unlink()
    _write(public / "train.csv", ["id", "label"], [[f"a{i}", i % 2] for i in range(rows)])
    for folder, letter, count in (("train", "a", rows), ("test", "b", 10)):
        (public / folder).mkdir()
        for i in range(count):
            (public / folder / f"{letter}{i}.jpg").touch()
    sample = Path(_data(native_task(competition).folder)["sample"]["path"])
    ids = {row["id"] for row in _read(sample / "train.csv")}
    assert {path.stem for path in (sample / "train").iterdir()} == ids
    assert len(list((sample / "test").iterdir())) == TEST_ROWS


def test_a_leaderboard_in_the_other_order_than_its_metric_is_told(tmp_path: Path) -> None:
    board = tmp_path / "leaderboard.csv"
    competition = _competition(tmp_path, "accuracy", ["id", "label"], ["u", "v"])
    for scores, told in (((0.9, 0.5), False), ((0.5, 0.9), True), ((0.5, 0.5), False)):
        _write(board, ["teamId", "score"], [[team, score] for team, score in enumerate(scores)])
        found = list(problems(replace(competition, leaderboard=board)))
        assert any("not in the order of the metric accuracy" in each for each in found) is told


def test_hidden_rows_with_a_twin_in_training_are_told_to_agents(tmp_path: Path) -> None:
    competition = _competition(tmp_path, "accuracy", ["id", "label"], ["u", "v"])
    assert not (native_task(competition).folder / "knowledge" / "these_data.md").exists()
    train = [[f"a{i}", i % 6, "uv"[i % 2]] for i in range(ROWS)]
    _write(competition.public / "train.csv", ["id", "x", "label"], [list(row) for row in train])
    told = (native_task(competition).folder / "knowledge" / "these_data.md").read_text()
    assert "12 of the 12 rows of `test.csv` are in `train.csv` as well" in told


def _data(task: Path) -> dict[str, Any]:
    content = yaml.safe_load((task / "task.yaml").read_text())
    return dict(content["environment"]["data"])
