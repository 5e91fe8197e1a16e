"""Opening: whose embedder, which folder, read-only, damaged, newer; and making indexes again."""

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.errors import ConfigurationError, StoreError
from harness.ids import RecordId
from harness.memory.base import MemoryConfig, Scope
from harness.memory.folder import DATABASE, memory_folder, refuse_network
from harness.memory.open import open_memory, open_memory_readonly, open_store, open_store_readonly
from harness.memory.reindex import reindex
from harness.memory.sqlite import SqliteMemory
from harness.testing.memory import ANNEALING, GRID, make_query

CLOCK = SystemClock()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def config(folder: Path, *, dimensions: int = 384, scope: Scope = "global") -> MemoryConfig:
    return MemoryConfig(path=str(folder), dimensions=dimensions, scope=scope)


async def filled(folder: Path, executor: ThreadPoolExecutor) -> SqliteMemory:
    memory = await open_memory(config(folder), executor, clock=CLOCK)
    for record in (ANNEALING, GRID):
        await memory.write(record)
    return memory


async def test_another_embedder_is_refused_until_reindexed(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    await (await filled(tmp_path, executor)).close()
    other = config(tmp_path, dimensions=64)
    for opening in (open_memory, open_memory_readonly):
        with pytest.raises(ConfigurationError, match="harness memory reindex"):
            await opening(other, executor, clock=CLOCK)
    done = reindex(other)
    assert (done["records"], done["embedder"]) == (2, "hashing-1:64")
    memory = await open_memory(other, executor, clock=CLOCK)
    found = await memory.recall(make_query("slow cooling schedule"))
    assert [each.record for each in found] == [ANNEALING]
    assert (await memory.stats())["vectors"] == 2
    await memory.close()


async def test_a_run_that_is_live_during_a_reindex_loses_nothing(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    old = await open_memory(config(tmp_path), executor, clock=CLOCK)
    await old.write(ANNEALING)
    other = config(tmp_path, dimensions=64)
    reindex(other)
    await old.write(GRID)
    assert [each.record for each in await old.recall(make_query("hexagonal lattice"))] == [GRID]
    await old.close()
    new = await open_memory(other, executor, clock=CLOCK)
    for text, record in (("slow cooling", ANNEALING), ("hexagonal lattice", GRID)):
        assert [each.record for each in await new.recall(make_query(text))] == [record]
    assert (await new.stats())["vectors"] == 2
    await new.close()


async def test_reads_while_a_run_writes(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    writer = await filled(tmp_path, executor)
    reader = await open_memory_readonly(config(tmp_path), executor, clock=CLOCK)
    assert len(await reader.records()) == 2
    assert await reader.recall(make_query("hexagonal lattice")) != []
    assert [entry.op for entry in await reader.log()] == ["write", "write"]
    with pytest.raises(StoreError):
        await reader.write(replace(ANNEALING, id=RecordId("new")))
    await reader.close()
    await writer.close()


def cannot(_path: Path, _mode: int) -> bool:
    return False


async def test_reads_a_folder_that_cannot_be_written(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await filled(tmp_path / "live", executor)
    with_log, without_log = tmp_path / "with", tmp_path / "without"
    with_log.mkdir()
    without_log.mkdir()
    # Copied without its shared memory file, as a copy of a killed process's folder may be.
    for name in (DATABASE, DATABASE + "-wal"):
        shutil.copy(tmp_path / "live" / name, with_log / name)
    await live.close()
    shutil.copy(tmp_path / "live" / DATABASE, without_log / DATABASE)
    # As root every folder can be written: say that these cannot.
    monkeypatch.setattr("os.access", cannot)
    for folder in (with_log, without_log):
        before = sorted(path.name for path in folder.iterdir())
        store = open_store_readonly(folder)
        assert store.counts()["records"] == 2
        store.close()
        left = {path.name for path in folder.iterdir()} - set(before)
        assert left <= {DATABASE + "-shm"}


async def test_no_memory_is_not_made_by_reading(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    with pytest.raises(FileNotFoundError):
        await open_memory_readonly(config(tmp_path / "none"), executor, clock=CLOCK)
    assert not (tmp_path / "none").exists()


def test_a_newer_or_damaged_memory_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path / "newer").close()
    with sqlite3.connect(tmp_path / "newer" / DATABASE) as db:
        db.execute("PRAGMA user_version = 99")
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / DATABASE).write_bytes(b"not a database" * 100)
    for name, message in (("newer", "newer version"), ("garbage", "cannot be read")):
        for opening in (open_store, open_store_readonly):
            with pytest.raises(StoreError, match=message):
                opening(tmp_path / name)


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="HARNESS_MEMORY"):
        open_store(tmp_path / "file" / "memory")


def test_the_folder_is_configured_then_environment_then_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_MEMORY", str(tmp_path / "env"))
    assert memory_folder(config(tmp_path / "set")) == tmp_path / "set"
    assert memory_folder(MemoryConfig()) == tmp_path / "env"
    monkeypatch.delenv("HARNESS_MEMORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert memory_folder(MemoryConfig()).name == "memory"
    assert memory_folder(MemoryConfig()).is_relative_to(tmp_path)


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:4 / /home rw shared:1 - nfs4 server:/home rw\n"
        "3 2 8:2 / /home/local\\040disk rw - xfs /dev/sdb rw\n",
        encoding="utf-8",
    )
    refuse_network(Path("/var/memory"), mounts=mounts)
    refuse_network(Path("/home/local disk/memory"), mounts=mounts)
    with pytest.raises(ConfigurationError, match=r"(?s)nfs4.*HARNESS_MEMORY"):
        refuse_network(Path("/home/me/memory"), mounts=mounts)


@pytest.mark.parametrize("name", ["word2vec", "openai:", "minilm:x"])
async def test_an_unknown_embedder_is_refused(
    tmp_path: Path, executor: ThreadPoolExecutor, name: str
) -> None:
    settings = MemoryConfig(path=str(tmp_path), embedder=name)
    with pytest.raises(ConfigurationError, match="hashing"):
        await open_memory(settings, executor, clock=CLOCK)


async def test_minilm_is_never_downloaded(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

    monkeypatch.setattr(ONNXMiniLM_L6_V2, "DOWNLOAD_PATH", tmp_path / "models")
    settings = MemoryConfig(path=str(tmp_path), embedder="minilm")
    with pytest.raises(ConfigurationError, match=r"model\.onnx"):
        await open_memory(settings, executor, clock=CLOCK)
    assert not (tmp_path / "models").exists()
