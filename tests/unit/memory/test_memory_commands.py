"""`harness memory ...` through the command line."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.clock import SystemClock
from harness.ids import RecordId
from harness.memory.base import MemoryConfig
from harness.memory.open import open_memory
from harness.testing.memory import ANNEALING, GRID, OVERLAP, make_query


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "memory"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_MEMORY", str(folder))
    with ThreadPoolExecutor(2) as executor:
        config = MemoryConfig(path=str(folder))
        memory = await open_memory(config, executor, clock=SystemClock())
        for record in (ANNEALING, GRID, replace(OVERLAP, score=1.25)):
            await memory.write(record)
        await memory.recall(make_query("cooling schedule"))
        await memory.credit("run-1", "agent-1", "9", "improved", [ANNEALING.id])
        await memory.close()
    return folder


def harness(*arguments: str) -> int:
    from harness.cli.main import run

    return run(["memory", *arguments])


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert harness(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found.pop("schema_version") == 1
    return found


def test_reads_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = document(capsys, "list")
    assert [each["id"] for each in listed["records"]] == [OVERLAP.id, GRID.id, ANNEALING.id]
    assert listed["total"] == 3
    limited = document(capsys, "list", "--kind", "note", "-n", "1")
    assert [each["title"] for each in limited["records"]] == [GRID.title]
    found = document(capsys, "search", "hexagonal", "lattice")["records"]
    assert [(each["id"], each["rank"]) for each in found] == [(GRID.id, 1)]
    assert document(capsys, "search", "sourdough")["records"] == []
    assert document(capsys, "search", "lattice", "--task", "sorting")["records"] == []
    shown = document(capsys, "show", ANNEALING.id[:10])["record"]
    assert (shown["text"], shown["uses"]) == (ANNEALING.text, {"improved": 1})
    stats = document(capsys, "stats")
    assert (stats["records"], stats["vectors"], stats["recalls"]) == (3, 3, 1)
    assert stats["folder"] == str(folder)


def test_the_log_has_the_fixed_shape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    entries = document(capsys, "log")["entries"]
    assert [entry["op"] for entry in entries] == ["write", "write", "write", "recall", "credit"]
    for entry in entries:
        assert set(entry) == {"at", "op", "agent", "query", "records", "attempt"}
        assert all(set(shown) == {"id", "rank", "score"} for shown in entry["records"])
    assert entries[3]["attempt"] == "9"
    served = document(capsys, "log", "--attempt", "9")["entries"]
    assert [entry["op"] for entry in served] == ["recall", "credit"]


def test_reads_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    for arguments in (("list",), ("search", "lattice"), ("show", GRID.id), ("log",), ("stats",)):
        assert harness(*arguments) == 0
        assert "grid" in capsys.readouterr().out.lower() or arguments[0] in ("log", "stats")


def test_searching_is_not_logged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    before = document(capsys, "log")
    document(capsys, "search", "lattice")
    assert document(capsys, "log") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "zz"), "no record"),
        (("show", ""), "no record"),
        (("list", "--path", "nowhere"), "no memory"),
        (("search", "x", "--path", "nowhere"), "no memory"),
        (("search", "x", "--run", "a", "--task", "b"), "one of them"),
        (("search", "x", "--embedder", "nonsense"), "hashing"),
        (("log", "no-such-run"), "no-such-run"),
        (("list", "--kind", "nonsense"), "nonsense"),
    ],
)
def test_mistakes_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert folder.is_dir()
    assert harness(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_reindex_changes_the_embedder(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_MEMORY", str(folder))
    (Path.cwd() / "harness.yaml").write_text("memory: {dimensions: 64}\n", encoding="utf-8")
    assert harness("search", "lattice") == 2
    assert "harness memory reindex" in capsys.readouterr().err
    assert document(capsys, "reindex")["embedder"] == "hashing-1:64"
    assert [each["id"] for each in document(capsys, "search", "lattice")["records"]] == [GRID.id]


def test_an_ambiguous_id_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    async def write() -> None:
        with ThreadPoolExecutor(2) as executor:
            config = MemoryConfig(path=str(folder))
            memory = await open_memory(config, executor, clock=SystemClock())
            for last in ("1", "2"):
                await memory.write(replace(GRID, id=RecordId("ab" * 15 + "0" + last)))
            await memory.close()

    asyncio.run(write())
    assert harness("show", "abab") == 2
    assert "several records" in capsys.readouterr().err


def test_why_tells_what_was_considered_shown_and_cited(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = document(capsys, "why", "9")
    assert (told["run"], told["agent"], told["outcome"]) == ("run-1", "agent-1", "improved")
    (recall,) = told["recalls"]
    assert (recall["purpose"], recall["query"]) == ("improve", "cooling schedule")
    first = recall["considered"][0]
    assert (first["id"], first["rank"], first["cited"]) == (ANNEALING.id, 1, False)
    assert first["score"] == pytest.approx(
        (0.65 * first["lexical"] + 0.35 * first["dense"]) * first["prior"], abs=1e-3
    )
    assert harness("why", "9") == 0
    assert "recall for improve" in capsys.readouterr().out
    assert harness("why", "10") == 2
    assert "harness attempts" in capsys.readouterr().err


def test_stats_say_which_records_pay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (worth,) = document(capsys, "stats")["worth"]
    assert (worth["id"], worth["uses"], worth["improved"]) == (ANNEALING.id, 1, 1)


def test_forgotten_is_not_recalled_and_comes_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document(capsys, "forget", GRID.id[:8], "--why", "it was wrong")
    assert document(capsys, "search", "hexagonal lattice")["records"] == []
    assert GRID.id not in {each["id"] for each in document(capsys, "list")["records"]}
    (gone,) = document(capsys, "list", "--retired")["records"]
    assert (gone["id"], gone["retired"]) == (GRID.id, "it was wrong")
    assert document(capsys, "show", GRID.id)["record"]["retired"] == "it was wrong"
    document(capsys, "restore", GRID.id)
    assert len(document(capsys, "search", "hexagonal lattice")["records"]) == 1
    ops = [entry["op"] for entry in document(capsys, "log")["entries"]]
    assert ops[-2:] == ["forget", "restore"]


def test_an_edited_record_replaces_the_old_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = document(capsys, "edit", GRID.id, "--text", "A square grid is worse still.")["record"]
    assert (new["title"], new["data"]["replaces"]) == (GRID.title, GRID.id)
    (found,) = document(capsys, "search", "square grid")["records"]
    assert found["id"] == new["id"]
    assert harness("edit", GRID.id) == 2


def test_knowledge_is_for_a_task_or_for_all(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.md"
    file.write_text("Voronoi cells bound the radii.\n\n" + "word " * 2_000, encoding="utf-8")
    added = document(capsys, "add", str(file), "--task", "packing")
    assert (added["new"], len(added["records"])) == (3, 3)
    assert document(capsys, "add", str(file), "--task", "packing")["new"] == 0
    document(capsys, "add", "--text", "Delaunay triangulation finds the holes.")
    for task, query, count in (
        ("packing", "Voronoi radii", 1),
        ("sorting", "Voronoi radii", 0),
        ("packing", "Delaunay holes", 1),
        ("sorting", "Delaunay holes", 1),
    ):
        found = document(capsys, "search", query, "--task", task)["records"]
        assert len(found) == count, (task, query)
        assert all(each["kind"] == "knowledge" for each in found)


def test_export_and_import_carry_everything(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document(capsys, "forget", GRID.id)
    capsys.readouterr()
    assert harness("export") == 0
    lines = capsys.readouterr().out
    file = tmp_path / "records.jsonl"
    file.write_text(lines, encoding="utf-8")
    other = str(tmp_path / "other")
    assert document(capsys, "import", str(file), "--path", other)["new"] == 3
    assert document(capsys, "import", str(file), "--path", other)["new"] == 0
    assert harness("export", "--path", other) == 0
    assert capsys.readouterr().out == lines


@pytest.mark.parametrize(
    "arguments",
    [
        ("add",),
        ("add", "missing.md"),
        ("add", "x.md", "--text", "both"),
        ("forget", "ffff"),
        ("restore", "ffff"),
        ("sync",),
        ("sync", "--url", "nowhere"),
        ("import", "broken.jsonl"),
    ],
)
def test_mistakes_are_told_in_three_lines(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    (tmp_path / "broken.jsonl").write_text('{"id": "x"}\n', encoding="utf-8")
    capsys.readouterr()
    assert harness(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 3
