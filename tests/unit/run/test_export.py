"""Exports of a run whose attempts are judged by hand: failures, many files, secrets, numbers."""

import csv
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.attempt import Attempt, Direction, Operator, Status, Verdict
from harness.errors import UserError
from harness.ids import AgentId, AttemptId, CommitHash, TreeHash
from harness.run.export.csv_format import write_csv
from harness.run.export.formats import FORMATS, FormatName, export_run
from harness.run.export.jsonl_format import write_jsonl
from harness.run.export.parquet_format import write_parquet
from harness.run.export.source import gain_over
from harness.run.export.table import Column, Kind, Table
from harness.run.folder import RunFolder

SECRET = "sk-proj-0123456789abcdefghij"
IMAGE = b"\x89PNG\x00\xff"

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(make_bench: Any) -> RunFolder:
    """The seed, a better one, one that failed, a repair of it, one not judged, a duplicate."""
    bench = make_bench()
    core = bench.core
    better = bench.judge(bench.submit("agent-1", {"a.py": b"a = 1\n"}), 2.0)
    failed = bench.submit("agent-2", {"a.py": f"key = '{SECRET}'\n".encode()}, base=better.id)
    told = Verdict(Status.FAILED, feedback=f"Traceback …\r\nno key {SECRET}")
    core.store.attempts.verdict(failed.id, told)
    many = {"sub/b.py": b"b = 2\n", "a.py": b"a = 3\n", "image.png": IMAGE}
    repaired = bench.submit("agent-1", many, base=failed.id, operator=Operator.DEBUG)
    core.store.attempts.verdict(
        repaired.id, Verdict(Status.SCORED, 1.5, {"loss": 0.1 + 0.2, "steps": 7}, duration_s=2.5)
    )
    bench.submit("agent-2", {"a.py": b"a = 5\n"}, base=better.id)
    bench.submit("agent-2", {"a.py": b"a = 1\n"}, base=better.id)
    bench.close()
    folder: RunFolder = bench.folder
    return folder


def lines(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def parsed(kind: Kind, cell: str) -> Any:
    """A cell of the CSV as docs/export.md says it is to be read."""
    if kind is Kind.IDS:
        return cell.split(" ") if cell else []
    if not cell:
        return None
    readers: dict[Kind, Callable[[str], Any]] = {
        Kind.TEXT: str,
        Kind.NUMBER: float,
        Kind.COUNT: int,
        Kind.FLAG: {"true": True, "false": False}.__getitem__,
    }
    return readers[kind](cell)


def test_one_row_an_attempt(run: RunFolder, tmp_path: Path) -> None:
    assert export_run(run, "jsonl", tmp_path / "out.jsonl") == {"attempts": 6}
    seed, better, failed, repaired, queued, duplicate = lines(tmp_path / "out.jsonl")
    assert [seed[key] for key in ("id", "parents", "depth", "score", "gain")] == [
        "0", [], 0, 1.0, None,
    ]  # fmt: skip
    assert (better["parents"], better["gain"], better["best"]) == (["0"], 0.5, True)
    assert (failed["status"], failed["score"], failed["gain"]) == ("failed", None, -1.0)
    assert (repaired["operator"], repaired["gain"], repaired["depth"]) == ("debug", 1.0, 3)
    assert repaired["metric_loss"] == 0.1 + 0.2
    assert (repaired["metric_steps"], better["metric_steps"]) == (7.0, None)
    assert (queued["status"], queued["charged"], queued["evaluated_at"]) == ("queued", None, None)
    assert (duplicate["duplicate_of"], duplicate["gain"]) == ("1", None)
    assert {len(row) for row in (seed, better, failed, repaired, queued, duplicate)} == {len(seed)}


def test_no_format_lets_a_secret_out(run: RunFolder, tmp_path: Path) -> None:
    for name in FORMATS:
        export_run(run, name, tmp_path / name)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert b"[redacted: key]" in (tmp_path / "csv").read_bytes()
    programs = b"".join(path.read_bytes() for path in (tmp_path / "evotrace/blobs").rglob("*.txt"))
    assert b"key = '[redacted: key]'\n" in programs


def test_parquet_has_the_types_and_the_rows_of_the_others(run: RunFolder, tmp_path: Path) -> None:
    export_run(run, "parquet", tmp_path / "out.parquet")
    export_run(run, "jsonl", tmp_path / "out.jsonl")
    table = cast(Any, pq.read_table(tmp_path / "out.parquet"))
    assert table.to_pylist() == lines(tmp_path / "out.jsonl")
    kinds = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert kinds["score"] == kinds["metric_loss"] == "double"
    assert (kinds["prompt_tokens"], kinds["best"]) == ("int64", "bool")
    assert kinds["parents"].startswith("list<")


def test_parquet_without_its_package_says_what_to_install(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as the import system marks what is missing
    with pytest.raises(UserError, match="pip install pyarrow"):
        export_run(run, "parquet", tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def evotrace(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evotrace") / "out"
    export_run(run, "evotrace", folder)
    return folder


def blob(folder: Path, sha: str, extension: str = "txt") -> bytes:
    data = (folder / "blobs" / sha[:2] / f"{sha}.{extension}").read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha
    return data


def test_evotrace_programs(evotrace: Path) -> None:
    programs = lines(evotrace / "programs.jsonl")
    assert [p["status"] for p in programs] == [
        "accepted", "accepted", "failed", "accepted", "pending", "rejected",
    ]  # fmt: skip
    assert [p["generation"] for p in programs] == [0, 1, 2, 3, 2, 2]
    assert [p["parent_id"] for p in programs] == [None, "0", "1", "2", "1", "1"]
    assert [p["iteration_found"] for p in programs] == [0, 1, 2, 3, 4, 5]
    assert programs[3]["metrics"] == {"loss": 0.1 + 0.2, "steps": 7.0, "combined_score": 1.5}
    assert programs[2]["metrics"] == {}
    assert programs[2]["artifacts"]["feedback"].startswith("Traceback …\r\n")
    assert blob(evotrace, programs[1]["solution_sha256"]) == b"a = 1\n", "one file is as it is"
    assert programs[5]["solution_sha256"] == programs[1]["solution_sha256"]


def test_evotrace_of_a_tree_with_several_files(evotrace: Path) -> None:
    program = lines(evotrace / "programs.jsonl")[3]
    text = blob(evotrace, program["solution_sha256"]).decode()
    assert text == "# === a.py ===\na = 3\n\n# === sub/b.py ===\nb = 2\n"
    files = {file["path"]: file["sha256"] for file in program["files"]}
    assert blob(evotrace, files["sub/b.py"]) == b"b = 2\n"
    assert blob(evotrace, files["image.png"], "bin") == IMAGE
    assert list(files) == ["a.py", "image.png", "sub/b.py"]


def test_evotrace_iterations_and_what_belongs_together(evotrace: Path) -> None:
    iterations = lines(evotrace / "iterations.jsonl")
    assert [(i["parent_id"], i["program_id"]) for i in iterations] == [
        ("0", "1"), ("1", "2"), ("2", "3"), ("1", "4"), ("1", "5"),
    ]  # fmt: skip
    assert [i["gain"] for i in iterations] == [0.5, -1.0, 1.0, None, None]
    scalars = lines(evotrace / "iter_scalars.jsonl")
    assert [(s["iteration"], s["value"]) for s in scalars] == [(0, "0"), (1, "1")]
    meta = json.loads((evotrace / "meta.json").read_text("utf-8"))
    blobs = [path for path in (evotrace / "blobs").rglob("*") if path.is_file()]
    assert meta["counts"] == {"programs": 6, "iterations": 5, "blobs": len(blobs)}
    assert meta["harness"]["best_program_id"] == "1"


def test_attempts_without_model_steps_are_given_as_changes(run: RunFolder, tmp_path: Path) -> None:
    counts = export_run(run, "sft", tmp_path / "out.jsonl")
    assert counts == {"steps": 0, "diffs": 5, "left_out": 0}
    found = lines(tmp_path / "out.jsonl")
    assert [line["attempt"] for line in found] == ["1", "2", "3", "4", "5"]
    assert [line["reward"] for line in found] == [0.5, -1.0, 1.0, None, None]
    (asked,), (change,) = found[3]["prompt"], found[3]["completion"]
    assert asked["content"].endswith("\n\na = 1\n"), "the program to be changed"
    assert "-a = 1\n+a = 5\n" in change["content"]


def test_nothing_that_is_there_is_overwritten(run: RunFolder, tmp_path: Path) -> None:
    file, folder = tmp_path / "out.csv", tmp_path / "out"
    file.touch()
    folder.mkdir()
    export_run(run, "csv", file)
    export_run(run, "evotrace", folder)
    before = file.read_bytes()
    targets: dict[FormatName, Path] = {"csv": file, "evotrace": folder}
    for name, target in targets.items():
        with pytest.raises(UserError, match="not empty"):
            export_run(run, name, target)
    assert file.read_bytes() == before
    (folder / "blobs" / "kept").touch()
    export_run(run, "csv", file, force=True)
    export_run(run, "evotrace", folder, force=True)
    assert file.read_bytes() == before
    assert not (folder / "blobs" / "kept").exists(), "replaced as a whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.csv"]


@pytest.mark.parametrize(
    ("name", "target", "wrong"),
    [
        ("evotrace", "other", "holds something else than an export"),
        ("csv", "other", "is a folder"),
        ("evotrace", "other/file", "is a file"),
        ("csv", "other/file/below", "cannot be written"),
    ],
)
def test_what_no_force_replaces(
    run: RunFolder, tmp_path: Path, name: FormatName, target: str, wrong: str
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(UserError, match=wrong):
        export_run(run, name, tmp_path / target, force=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["other", "file"]


SCORES = st.floats(allow_nan=False, allow_infinity=False)
DIRECTIONS = st.sampled_from(["maximize", "minimize"])


def judged(score: float | None, status: Status = Status.SCORED) -> Attempt:
    verdict = Verdict(status, score)
    return Attempt(
        AttemptId("1"), CommitHash("c"), TreeHash("t"), AgentId("agent-1"), Operator.IMPROVE,
        (AttemptId("0"),), (), "t", verdict.status, 0.0, verdict=verdict,
    )  # fmt: skip


@given(direction=DIRECTIONS, new=SCORES, old=SCORES)
def test_the_gain_is_bounded_signed_and_antisymmetric(
    direction: Direction, new: float, old: float
) -> None:
    gain = gain_over(direction, judged(new), judged(old))
    assert gain is not None
    assert -2.0 <= gain <= 2.0
    assert gain == -(gain_over(direction, judged(old), judged(new)) or 0.0)
    improved = new > old if direction == "maximize" else new < old
    assert not (gain > 0 and not improved)
    assert not (gain < 0 and improved)


def test_the_gain_of_what_has_no_score() -> None:
    scored, failed = judged(1.0), judged(None, Status.FAILED)
    assert gain_over("minimize", scored, failed) == 1.0
    assert gain_over("minimize", failed, scored) == -1.0
    assert gain_over("minimize", failed, failed) == 0.0
    assert gain_over("minimize", judged(None, Status.SANDBOX_LOST), scored) is None
    assert gain_over("maximize", judged(0.0), judged(-0.0)) == 0.0


CELLS: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    Kind.NUMBER: st.none() | SCORES,
    Kind.COUNT: st.none() | st.integers(-(2**63), 2**63 - 1),
    Kind.FLAG: st.none() | st.booleans(),
    Kind.IDS: st.lists(st.integers(0, 10**6).map(str), max_size=4),
}


@st.composite
def tables(draw: st.DrawFn) -> Table:
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=1, max_size=6))
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
            min_size=len(kinds), max_size=len(kinds), unique=True,
        )
    )  # fmt: skip
    columns = tuple(Column(name, kind) for name, kind in zip(names, kinds, strict=True))
    row = st.fixed_dictionaries({column.name: CELLS[column.kind] for column in columns})
    return Table(columns, tuple(draw(st.lists(row, max_size=5))))


@settings(max_examples=60)
@given(table=tables())
def test_all_flat_formats_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, table: Table
) -> None:
    folder = tmp_path_factory.mktemp("flat")
    writers: dict[str, Callable[[Table, Path], int]] = {
        "a.jsonl": write_jsonl, "a.csv": write_csv, "a.parquet": write_parquet,
    }  # fmt: skip
    for name, write in writers.items():
        assert write(table, folder / name) == len(table.rows)
    rows = list(table.rows)
    assert lines(folder / "a.jsonl") == rows
    assert pq.read_table(folder / "a.parquet").to_pylist() == rows
    with (folder / "a.csv").open(encoding="utf-8", newline="") as file:
        header, *cells = csv.reader(file)
    assert header == [column.name for column in table.columns]
    kinds = [column.kind for column in table.columns]
    read = [
        {name: parsed(kind, cell) for name, kind, cell in zip(header, kinds, row, strict=True)}
        for row in cells
    ]
    assert read == rows
