"""Many processes on one memory: a worker that writes and reads, and a check that all agrees.

    python -m harness.testing.memory_load FOLDER NAME SECONDS

writes what it was acknowledged as one JSON document.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.clock import SystemClock
from harness.ids import RecordId
from harness.memory import lookup
from harness.memory.base import MemoryConfig
from harness.memory.embedders import make_embedder
from harness.memory.index import DenseIndex
from harness.memory.open import open_memory, open_store
from harness.memory.text import words
from harness.memory.words import BUCKETS
from harness.testing.memory import make_query, make_record

WORDS = [
    "annealing",
    "lattice",
    "corner",
    "gradient",
    "penalty",
    "radius",
    "restart",
    "softmax",
    "kernel",
    "fold",
]


class Work(NamedTuple):
    """What one process was acknowledged."""

    written: list[str]
    recalls: int
    found: int
    credits: int
    missed: int
    """Own records that were not found again by their own words at once."""


class Agreement(NamedTuple):
    """What a memory holds, counted in every place where it is kept."""

    records: int
    vectors: int
    words: int
    writes_logged: int
    recalls_logged: int
    uses: int
    indexed: int
    """Vectors in Chroma."""
    wrong: list[str]
    """Records whose vector or words are not their text's; what SQLite's own checks say."""


async def work(folder: str, name: str, seconds: float) -> Work:
    """Write, read and credit until the time is over."""
    draw, until = random.Random(name), time.monotonic() + seconds
    written: list[str] = []
    recalls = found = credits_ = missed = 0
    with ThreadPoolExecutor(2) as executor:
        config = MemoryConfig(path=folder, distil=False)
        memory = await open_memory(config, executor, clock=SystemClock())
        while time.monotonic() < until:
            number = len(written)
            text = " ".join([*draw.choices(WORDS, k=6), f"only{name}x{number}"])
            record = make_record(f"{name} {number}", text, run=name, agent=name)
            await memory.write(record)
            written.append(record.id)
            if number % 3 == 0:
                answer = await memory.recall(make_query(text, run=name, agent=name, limit=3))
                recalls += 1
                found += len(answer)
                missed += record.id not in [each.record.id for each in answer]
                shown = [RecordId(each.record.id) for each in answer]
                await memory.credit(name, name, str(number), "improved", shown)
                credits_ += 1
        await memory.close()
    return Work(written, recalls, found, credits_, missed)


def start(folder: Path, names: Sequence[str], seconds: float) -> list[Work]:
    """One process for each name, all at once; waits for them.

    Raises:
        CalledProcessError: One of them failed.
    """
    command = [sys.executable, "-m", "harness.testing.memory_load", str(folder)]
    processes = [
        subprocess.Popen([*command, name, str(seconds)], stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    answers = [process.communicate()[0] for process in processes]
    for process in processes:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    return [Work(**json.loads(answer)) for answer in answers]


def agreement(folder: Path) -> Agreement:
    """Count everything and compare what is derived from the records with them."""
    embedder = make_embedder(MemoryConfig())
    store = open_store(folder)
    try:
        row = store.embedder()
        assert row is not None
        counts = store.counts()
        wrong: list[str] = []
        ids = store.ids()
        for first in range(0, len(ids), 500):
            seqs = store.seqs(ids[first : first + 500])
            vectors = lookup.vectors_of(store, row.number, seqs)
            for seq, record in store.by_seq(seqs).items():
                vector = embedder.embed([f"{record.title}\n{record.text}"])[0]
                if seq not in vectors or not np.array_equal(vectors[seq], vector):
                    wrong.append(f"{record.id}: vector")
                if not _has_words(store, seq, record.text):
                    wrong.append(f"{record.id}: words")
        with store.reading() as db:
            said = db.execute("PRAGMA integrity_check").fetchone()[0]
        with store.writing() as db:  # FTS5 compares its own tables
            db.execute("INSERT INTO lexical (lexical, rank) VALUES ('integrity-check', 0)")
        index = DenseIndex(store, row, folder / "index")
        index.feed()
        return Agreement(
            counts["records"],
            counts["vectors"],
            counts["words"],
            counts["log"].get("write", 0),
            counts["recalls"],
            counts["uses"],
            index.held(),
            wrong + ([] if said == "ok" else [said]),
        )
    finally:
        store.close()


def _has_words(store: Any, seq: int, text: str) -> bool:
    """Whether the index has the record under the rarest of its words."""
    columns = " ".join(bucket.column for bucket in BUCKETS)
    with store.reading() as db:
        row = db.execute(
            "SELECT 1 FROM lexical WHERE lexical MATCH ? AND rowid = ?",
            (f'{{{columns}}} : "{words(text)[-1]}"', seq),
        ).fetchone()
    return row is not None


def main() -> None:
    folder, name, seconds = sys.argv[1:]
    done = asyncio.run(work(folder, name, float(seconds)))
    sys.stdout.write(json.dumps(done._asdict()))


if __name__ == "__main__":
    main()
