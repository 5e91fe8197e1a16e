"""Chroma: fed in the background, merged with what it lacks, made again when in doubt."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.memory.chroma import IndexLock, progress
from harness.memory.embedders import Vectors, normalised
from harness.memory.index import DenseIndex
from harness.memory.open import open_store
from harness.memory.rows import EmbedderRow, Place, prepared
from harness.memory.store import Store
from harness.testing.memory import make_record

EVERYWHERE = Place("global")
DIMENSIONS = 16


class Bench:
    """A store with random vectors around a few centres."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "index"
        self.store: Store = open_store(folder)
        self.row: EmbedderRow = self.store.set_embedder("test", DIMENSIONS, 0.0, 0.2)
        self.random = np.random.default_rng(5)
        self.count = 0

    def add(self, count: int, *, task: str = "packing") -> Vectors:
        vectors = normalised(self.random.normal(size=(count, DIMENSIONS)).astype(np.float32))
        for vector in vectors:
            self.count += 1
            record = make_record(f"record {self.count}", "", task=task)
            self.store.insert(prepared(record), vector, self.row.number, 0.0)
        return vectors

    def index(self, **settings: int) -> DenseIndex:
        return DenseIndex(
            self.store, self.row, self.root, **{"exact_limit": 0, "feed_at": 10, **settings}
        )

    def exact(self) -> DenseIndex:
        return DenseIndex(self.store, self.row, None)

    def agree(self, index: DenseIndex, vector: Vectors, place: Place = EVERYWHERE) -> bool:
        ours = index.search(place, vector, None, 5)
        truth = self.exact().search(place, vector, None, 5)
        return bool(np.array_equal(ours.seqs, truth.seqs))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_chroma_and_what_it_lacks_are_one_answer(bench: Bench) -> None:
    first = bench.add(60)
    index = bench.index()
    assert index.feed()
    assert index.state()["used"]
    later = bench.add(5, task="sorting")  # not fed
    assert index.waiting() == 5
    assert all(bench.agree(index, vector) for vector in (*first[:10], *later))
    assert bench.agree(index, later[0], Place("task", "sorting"))
    assert bench.agree(index, first[0], Place("task", "packing"))
    index.close()
    assert index.waiting() == 0


def test_small_runs_never_import_chroma_or_make_a_folder(bench: Bench) -> None:
    bench.add(9)
    index = bench.index()
    index.wake()
    index.close()
    assert not bench.root.exists()


def test_a_full_waiting_room_is_fed_in_the_background(bench: Bench) -> None:
    bench.add(12)
    index = bench.index()
    index.wake()
    index.close()  # waits for the thread
    made = progress(bench.root)
    assert made is not None
    assert made.position == 12


def test_only_the_owner_opens_it_and_another_takes_over(bench: Bench) -> None:
    vectors = bench.add(20)
    owner, other = bench.index(), bench.index()
    assert owner.feed()
    assert not other.feed()
    assert bench.agree(other, vectors[3])  # exactly, without Chroma
    owner.close()
    assert other.feed()
    assert bench.agree(other, vectors[3])
    other.close()


@pytest.mark.parametrize("damage", ["progress", "folder", "database", "lagging", "embedder"])
def test_a_damaged_index_is_made_again(bench: Bench, damage: str) -> None:
    vectors = bench.add(30)
    index = bench.index()
    assert index.feed()
    index.close()
    made = progress(bench.root)
    assert made is not None
    note = made.folder / "progress.json"
    if damage == "progress":
        note.write_text("{", encoding="utf-8")
    elif damage == "folder":
        shutil.rmtree(made.folder)
    elif damage == "database":
        (made.folder / "chroma.sqlite3").write_bytes(b"\x00" * 10_000)
    elif damage == "lagging":
        bench.add(5)
        note.write_text(json.dumps({"embedder": "test", "position": 35}), encoding="utf-8")
    else:
        note.write_text(json.dumps({"embedder": "other", "position": 30}), encoding="utf-8")
    again = bench.index()
    assert again.feed()
    assert again.waiting() == 0
    assert all(bench.agree(again, vector) for vector in vectors[:5])
    again.close()
    remade = progress(bench.root)
    assert remade is not None
    assert remade.folder != made.folder
    assert len(list(bench.root.glob("g*"))) == 1


def test_a_batch_that_a_crash_left_unnoted_is_fed_again(bench: Bench) -> None:
    vectors = bench.add(30)
    index = bench.index()
    assert index.feed()
    index.close()
    made = progress(bench.root)
    assert made is not None
    note = json.dumps({"embedder": "test", "position": 10})
    (made.folder / "progress.json").write_text(note, encoding="utf-8")
    again = bench.index()
    assert again.feed()
    kept = progress(bench.root)
    assert kept is not None
    assert (kept.folder, kept.position) == (made.folder, 30)
    assert all(bench.agree(again, vector) for vector in vectors)
    again.close()


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    lock = IndexLock.taken(tmp_path)
    assert lock is not None
    assert IndexLock.taken(tmp_path) is None
    lock.release()
    assert IndexLock.taken(tmp_path) is not None
