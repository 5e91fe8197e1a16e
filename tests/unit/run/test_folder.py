"""Finding runs, and the lock of a live one."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.errors import RunNotFoundError, StoreError, UserError
from harness.run.folder import RunFolder, RunLock, find_run, live_process
from harness.run.reading import reading
from harness.run.store import Store


def _run(runs_dir: Path, name: str) -> RunFolder:
    folder = RunFolder(runs_dir / name)
    folder.path.mkdir(parents=True)
    Store.create(folder.path, SystemClock(), {"run": name}).close()
    return folder


def test_runs_are_found_by_path_id_prefix_and_latest(tmp_path: Path) -> None:
    first = _run(tmp_path, "alpha-20260101-000000-aaaa")
    second = _run(tmp_path, "alpha-20260102-000000-bbbb")
    _run(tmp_path, "beta-20260101-120000-cccc")
    assert find_run(str(first.path), tmp_path) == first
    assert find_run(first.id, tmp_path) == first
    assert find_run("alpha-20260102", tmp_path) == second
    assert find_run("latest", tmp_path) == second
    with pytest.raises(RunNotFoundError, match="ambiguous"):
        find_run("alpha", tmp_path)
    with pytest.raises(RunNotFoundError) as raised:
        find_run("alpha-20260101-000000-aaab", tmp_path)
    assert first.id in raised.value.action
    with pytest.raises(RunNotFoundError):
        find_run("latest", tmp_path / "empty")


def test_the_lock_is_held_by_one_process_and_freed_when_it_dies(tmp_path: Path) -> None:
    folder = _run(tmp_path, "alpha-20260101-000000-aaaa")
    code = (
        "import sys; from pathlib import Path; from harness.run.folder import *;"
        "RunLock(RunFolder(Path(sys.argv[1]))).acquire(); print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert live_process(folder) == holder.pid
    with pytest.raises(UserError, match=str(holder.pid)):
        RunLock(folder).acquire()
    holder.kill()
    holder.communicate()
    assert live_process(folder) is None
    lock = RunLock(folder)
    lock.acquire()
    assert live_process(folder) == os.getpid()
    lock.release()


def test_a_store_is_read_beside_its_writer_and_after_it(tmp_path: Path) -> None:
    folder = _run(tmp_path, "alpha-20260101-000000-aaaa")
    store = Store.open(folder.path, SystemClock())
    store.set_meta("colour", "blue")
    with reading(folder.database) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'colour'").fetchone()[0] == "blue"
        with pytest.raises(sqlite3.OperationalError):
            db.execute("DELETE FROM meta")
    store.close()
    assert not Path(f"{folder.database}-wal").exists()
    with reading(folder.database) as db:
        assert db.execute("SELECT COUNT(*) FROM meta").fetchone()[0] == 2


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    folder = _run(tmp_path, "alpha-20260101-000000-aaaa")
    with sqlite3.connect(folder.database) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="schema 7"), reading(folder.database):
        pass
    with pytest.raises(StoreError, match="schema 7"):
        Store.open(folder.path, SystemClock())
