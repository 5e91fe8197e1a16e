"""Time and size of the memory at 1 000 and 10 000 records (100 000 with --large).

    python benchmarks/memory.py [--large] [--chroma]

Prints Markdown tables: milliseconds of wall time and of this process's CPU for each operation,
size on disk, and with --chroma where Chroma's query becomes faster than the exact search. The first
table is of a memory whose index is up to date; feeding it costs what the second one says.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles

from harness.clock import SystemClock
from harness.ids import RecordId
from harness.memory.base import MemoryConfig, MemoryRecord, RecallQuery, RecordKind
from harness.memory.embedders import calibrate
from harness.memory.hashing import HashingEmbedder
from harness.memory.index import DenseIndex
from harness.memory.open import open_memory, open_store
from harness.memory.rows import EmbedderRow, Place
from harness.memory.store import Store

OPERATIONS = 200
WARM_UP = 20
TOPICS = (
    "annealing cooling schedule temperature restart",
    "hexagonal lattice grid corner spacing offset",
    "gradient penalty overlap radius projection",
    "learning rate warmup batch dropout smoothing",
    "kernel fusion softmax tile shared register",
    "comparator network symmetry prune depth layer",
    "fold leakage target encoding imputation feature",
    "timeout memory crash segfault exception limit",
)


def record(number: int, draw: random.Random) -> MemoryRecord:
    """A record of about sixty words, most of them of one topic, many of them rare."""
    topic = draw.choice(TOPICS).split()
    rare = [f"variant{draw.randrange(5_000)}" for _ in range(20)]
    words = [draw.choice(topic) for _ in range(40)] + rare
    draw.shuffle(words)
    outcome = draw.choice(("improved", "worse", "equal"))
    return MemoryRecord(
        RecordId(f"{number:032x}"),
        RecordKind.ATTEMPT,
        " ".join(words[:6]),
        " ".join(words),
        "packing",
        f"run-{number % 7}",
        f"agent-{number % 4}",
        0.0,
        outcome=outcome,
    )


def query(draw: random.Random) -> RecallQuery:
    """Eight words of one topic and two rare ones."""
    topic = draw.choice(TOPICS).split()
    rare = [f"variant{draw.randrange(5_000)}" for _ in range(2)]
    text = " ".join([draw.choice(topic) for _ in range(8)] + rare)
    return RecallQuery(text, "improve", "packing", "run-1", "agent-1")


def fill(folder: Path, count: int, draw: random.Random) -> None:
    """`count` records: what is measured comes after."""
    embedder = HashingEmbedder(384)
    store = open_store(folder)
    row = store.set_embedder(embedder.identity, embedder.dimensions, *calibrate(embedder))
    for number in range(count):
        one = record(number, draw)
        vector = embedder.embed([f"{one.title}\n{one.text}"])[0]
        store.insert(one, vector, row.number, 0.0)
    store.close()


def feed(folder: Path) -> None:
    """Bring the dense index up to date."""
    store = open_store(folder)
    row = store.embedder()
    assert row is not None
    index = DenseIndex(store, row, folder / "index")
    index.feed()
    index.close()
    store.close()


async def timed(
    name: str, work: Callable[[], Awaitable[object]], *, count: int = OPERATIONS
) -> str:
    """A table row: p50 and p95 of wall time, mean CPU, in milliseconds."""
    for _ in range(WARM_UP):
        await work()
    walls: list[float] = []
    cpu = time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        await work()
        walls.append((time.perf_counter() - start) * 1e3)
    mean_cpu = (time.process_time() - cpu) / count * 1e3
    cuts = quantiles(walls, n=20)
    return f"{name} | {cuts[9]:.2f} | {cuts[18]:.2f} | {mean_cpu:.2f}"


async def measure(count: int) -> None:
    draw = random.Random(count)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        fill(Path(folder), count, draw)
        feed(Path(folder))
        config = MemoryConfig(path=folder)
        start = time.perf_counter()
        memory = await open_memory(config, executor, clock=SystemClock())
        opening = (time.perf_counter() - start) * 1e3
        start = time.perf_counter()
        await memory.recall(query(draw))
        first = (time.perf_counter() - start) * 1e3
        numbers = iter(range(count, 10 * count + 10_000))
        recalling = await timed("recall", lambda: memory.recall(query(draw)))
        writing = await timed("write", lambda: memory.write(record(next(numbers), draw)))
        size = (Path(folder) / "memory.db").stat().st_size / 1e6
        for row in (writing, recalling):
            print(f"| {count:,} | {row} | {opening:.1f} | {first:.0f} | {size:.1f} |")
        await memory.close()


def exact_and_chroma(count: int) -> None:
    """Milliseconds of CPU of one query: exact search over all vectors, and Chroma's."""
    draw = random.Random(count)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), count, draw)
        store = open_store(Path(folder))
        row = store.embedder()
        assert row is not None
        exact = DenseIndex(store, row, None)
        chroma = DenseIndex(store, row, Path(folder) / "index", exact_limit=0)
        start = time.perf_counter()
        chroma.feed()
        feeding = count / (time.perf_counter() - start)
        size = sum(p.stat().st_size for p in (Path(folder) / "index").rglob("*") if p.is_file())
        figures = [search_ms(index, draw) for index in (exact, chroma)]
        found = agreement(store, row, exact, chroma, draw)
        print(
            f"| {count:,} | {figures[0]:.2f} | {figures[1]:.2f} | {found:.2f} | {feeding:,.0f} |"
            f" {size / 1e6:.1f} |"
        )
        chroma.close()
        store.close()


def search_ms(index: DenseIndex, draw: random.Random) -> float:
    """Mean wall milliseconds of a search for 32 records."""
    vectors = HashingEmbedder(384).embed([query(draw).text for _ in range(60)])
    for vector in vectors[:10]:
        index.search(Place("global"), vector, None, 32)
    start = time.perf_counter()
    for vector in vectors[10:]:
        index.search(Place("global"), vector, None, 32)
    return (time.perf_counter() - start) / 50 * 1e3


def agreement(
    store: Store, row: EmbedderRow, exact: DenseIndex, chroma: DenseIndex, draw: random.Random
) -> float:
    """Share of the exact ten nearest that Chroma finds, too."""
    hits = 0
    total = 0
    for vector in HashingEmbedder(384).embed([query(draw).text for _ in range(20)]):
        truth = exact.search(Place("global"), vector, None, 10).seqs.tolist()
        found = chroma.search(Place("global"), vector, None, 10).seqs.tolist()
        hits += len(set(truth) & set(found))
        total += len(truth)
    return hits / max(1, total)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--large", action="store_true", help="also 100 000 records")
    parser.add_argument("--chroma", action="store_true", help="also exact search against Chroma")
    options = parser.parse_args()
    counts = [1_000, 10_000] + ([100_000] if options.large else [])
    print("| records | operation | p50 ms | p95 ms | CPU ms | open ms | first recall ms | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for count in counts:
        asyncio.run(measure(count))
    if options.chroma:
        print("\n| vectors | exact ms | Chroma ms | found by Chroma | fed per second | Chroma MB |")
        print("|---|---|---|---|---|---|")
        for count in (1_000, 5_000, 20_000, *([100_000] if options.large else [])):
            exact_and_chroma(count)


if __name__ == "__main__":
    main()
