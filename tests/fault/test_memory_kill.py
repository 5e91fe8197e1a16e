"""SIGKILL at random points, and many processes at once: nothing acknowledged is lost."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.memory.base import MemoryConfig
from harness.memory.folder import DATABASE
from harness.memory.open import open_memory
from harness.testing.memory import make_query

WRITER = """
import asyncio, sys, uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from harness.clock import SystemClock
from harness.memory.base import MemoryConfig, MemoryRecord, RecallQuery, RecordKind
from harness.memory.open import open_memory

folder, name, count, reads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def main():
    with ThreadPoolExecutor(2) as executor:
        memory = await open_memory(MemoryConfig(path=folder), executor, clock=SystemClock())
        print("ready", flush=True)
        for number in range(count):
            text = f"writer {name} annealing schedule number {number}"
            record = uuid.uuid5(uuid.NAMESPACE_OID, text).hex
            await memory.write(MemoryRecord(
                record, RecordKind.NOTE, f"{name} {number}", text, "t", name, "agent", 0.0))
            print(record, flush=True)
            if reads and number % reads == 0:
                query = RecallQuery("annealing schedule", "search", "t", name, "agent")
                assert await memory.recall(query)
        await memory.close()

asyncio.run(main())
"""


def start(folder: Path, name: str, *, count: int, reads: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count), str(reads)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def agreement(folder: Path) -> tuple[set[str], list[int]]:
    """Ids of the records; counts of records, vectors, indexed texts and logged writes."""
    with sqlite3.connect(folder / DATABASE) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ids = {row[0] for row in db.execute("SELECT id FROM records")}
        counts = [
            db.execute(sql).fetchone()[0]
            for sql in (
                "SELECT COUNT(*) FROM records",
                "SELECT COUNT(DISTINCT seq) FROM vectors WHERE seq IN (SELECT seq FROM records)",
                "SELECT COUNT(*) FROM lexical WHERE lexical MATCH 'annealing'",
                "SELECT COUNT(*) FROM log JOIN shown ON entry = number WHERE op = 'write'",
            )
        ]
    return ids, counts


def killed_while_writing(folder: Path, name: str, points: random.Random) -> list[str]:
    """What a writer said before it was killed somewhere in the middle."""
    with start(folder, name, count=100_000, reads=5) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        seen = [writer.stdout.readline().strip() for _ in range(points.randrange(1, 25))]
        time.sleep(points.random() * 0.02)
        writer.send_signal(signal.SIGKILL)
        return seen + writer.stdout.read().split()


@pytest.mark.parametrize("rounds", [3, pytest.param(25, marks=pytest.mark.slow)])
async def test_nothing_acknowledged_is_lost(
    tmp_path: Path, executor: ThreadPoolExecutor, rounds: int
) -> None:
    points = random.Random(11)
    acknowledged: set[str] = set()
    for number in range(rounds):
        seen = killed_while_writing(tmp_path, f"w{number}", points)
        # The last line may be torn by the kill.
        acknowledged |= {line for line in seen if len(line) == 32}
    ids, counts = agreement(tmp_path)
    assert acknowledged <= ids
    # Written, but killed before it could be said: at most one in each round.
    assert len(ids) - len(acknowledged) <= rounds
    assert counts == [len(ids)] * 4
    config = MemoryConfig(path=str(tmp_path))
    memory = await open_memory(config, executor, clock=SystemClock())
    found = await memory.recall(make_query("annealing schedule", task="t"))
    assert len(found) == 5
    await memory.close()


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_processes_share_one_new_memory(tmp_path: Path, count: int) -> None:
    writers = [start(tmp_path, f"w{number}", count=count, reads=10) for number in range(4)]
    said: set[str] = set()
    for writer in writers:
        out, _ = writer.communicate()
        assert writer.returncode == 0
        said |= set(out.split()) - {"ready"}
    ids, counts = agreement(tmp_path)
    assert ids == said
    assert counts == [4 * count] * 4
