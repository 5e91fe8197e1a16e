"""How good recall is on real text, how fast and how large.

    python -m benchmarks.memory_recall [--calibrate] [--quality-only]
        [--embedder hashing minilm openai:MODEL] [--counts 1000 10000 100000]

Documentation sentences ask for functions of the installed standard library (see
`benchmarks/memory_corpus.py`). Reported are held-back queries; `--calibrate` prints, for the tuning
half, what the constants in `harness.memory.recall` and `harness.memory.ranking` were chosen by.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import log2
from pathlib import Path
from statistics import fmean, quantiles
from typing import NamedTuple

import numpy as np
from benchmarks.memory_corpus import Passage, code_lines, passages, unrelated

from harness.errors import ConfigurationError
from harness.ids import RecordId
from harness.memory.base import MemoryConfig, MemoryRecord, RecallQuery, RecordKind
from harness.memory.embedders import Embedder, Vectors, calibrate, make_embedder
from harness.memory.index import EXACT_LIMIT, DenseIndex
from harness.memory.lexical import LexicalIndex
from harness.memory.open import open_store
from harness.memory.ranking import Weights
from harness.memory.recall import Recaller
from harness.memory.rows import EmbedderRow, Place, prepared
from harness.memory.store import Store

EVERYWHERE = Place("global")
QUERIES = 1_000
TIMED = 200
WARM_UP = 20
SHARES = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
PLAIN = Weights(credit=0.0, recency=0.0, kind=0.0, diversity=0.0)
OPEN = replace(PLAIN, strictness=0.0)
"""Without the cut-off."""


class Asked(NamedTuple):
    """A query, its vector and the sequence number of its answer."""

    text: str
    vector: Vectors
    answer: int


class Bench(NamedTuple):
    """A memory full of records, with its searches."""

    store: Store
    folder: Path
    row: EmbedderRow
    dense: DenseIndex
    words: LexicalIndex
    recaller: Recaller

    def found(self, asked: Asked, weights: Weights = PLAIN, limit: int = 10) -> list[int]:
        """Sequence numbers that a recall shows, best first."""
        query = RecallQuery(asked.text, "search", "library", "run", "agent", limit)
        found = self.recaller.recall(query, EVERYWHERE, asked.vector, weights)
        return [each.candidate.seq for each in found.chosen]

    def nearest(self, asked: Asked) -> list[int]:
        """The ten nearest vectors."""
        return list(map(int, self.dense.search(EVERYWHERE, asked.vector, None, 10).seqs))

    def worded(self, asked: Asked) -> list[int]:
        """The ten best by BM25."""
        found = self.words.search(EVERYWHERE, asked.text)
        order = np.lexsort((found.seqs, -found.scores))[:10]
        return list(map(int, found.seqs[order]))


@contextmanager
def filled(records: Sequence[tuple[str, str]], embedder: Embedder) -> Generator[Bench]:
    """A memory that holds these (title, text), numbered from 1."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_store(folder)
        row = store.set_embedder(embedder.identity, embedder.dimensions, *calibrate(embedder))
        for start in range(0, len(records), 500):
            batch = [
                prepared(_record(number, title, text))
                for number, (title, text) in enumerate(records[start : start + 500], start)
            ]
            vectors = embedder.embed([f"{each.title}\n{each.text}" for each in batch])
            store.insert_all(batch, vectors, row.number, 0.0)
        dense = DenseIndex(store, row, folder / "index")
        # Words that one has seen are not known to the other: both are timed as at the first time.
        recaller = Recaller(store, LexicalIndex(store), dense, row)
        yield Bench(store, folder, row, dense, LexicalIndex(store), recaller)
        dense.close()
        store.close()


def _record(number: int, title: str, text: str) -> MemoryRecord:
    author = f"agent-{number % 4}"
    name = RecordId(f"{number:032x}")
    return MemoryRecord(name, RecordKind.KNOWLEDGE, title, text, "library", "run", author, 0.0)


def asked(found: Sequence[Passage], embedder: Embedder, *, tuning: bool) -> list[Asked]:
    """At most `QUERIES` queries of one half, drawn with a fixed seed."""
    chosen = [
        (each.query, number)
        for number, each in enumerate(found, 1)
        if each.query is not None and each.tuning is tuning
    ]
    random.Random(1).shuffle(chosen)
    vectors = embedder.embed([text for text, _ in chosen[:QUERIES]])
    return [
        Asked(text, vector, answer)
        for (text, answer), vector in zip(chosen[:QUERIES], vectors, strict=True)
    ]


def quality(queries: Sequence[Asked], search: Callable[[Asked], list[int]]) -> tuple[float, float]:
    """Recall@5 and nDCG@10; one record is right."""
    places = [
        found.index(each.answer) if each.answer in (found := search(each)) else None
        for each in queries
    ]
    hits = fmean(float(place is not None and place < 5) for place in places)
    gains = fmean(0.0 if place is None else 1 / log2(place + 2) for place in places)
    return hits, gains


def report_quality(corpus: Sequence[Passage], name: str, embedder: Embedder) -> None:
    """The table's rows for one embedder."""
    with filled([(each.title, each.text) for each in corpus], embedder) as bench:
        queries = asked(corpus, embedder, tuning=False)
        ways: list[tuple[str, Callable[[Asked], list[int]]]] = [
            ("dense alone", bench.nearest),
            ("lexical alone", bench.worded),
            ("fused", lambda each: bench.found(each, OPEN)),
            ("fused, with diversity", lambda each: bench.found(each, replace(OPEN, diversity=0.1))),
        ]
        passing = [each for each in queries if bench.found(each)]
        for way, search in ways:
            every, shown = quality(queries, search), quality(passing, search)
            share = len(passing) / len(queries)
            cells = [*every, *(value * share for value in shown)]
            print(f"| {name} | {way} | " + " | ".join(f"{c:.3f}" for c in cells) + " |", flush=True)
        others = unrelated()[1::2]  # the gate is calibrated on the others
        vectors = embedder.embed(others)
        empty = [not bench.found(Asked(t, v, 0)) for t, v in zip(others, vectors, strict=True)]
        share = len(passing) / len(queries)
        print(f"\n{name}: of {len(queries)} held-back queries {share:.1%} find something")
        if others:
            print(f"of {len(others)} unrelated sentences {1 - fmean(map(float, empty)):.1%}\n")
        else:
            print("(no licences on this machine: what unrelated ones find is not measured)\n")


def report_calibration(corpus: Sequence[Passage], embedder: Embedder) -> None:
    """Fusion weights by quality on the tuning half; the gate by the unrelated sentences."""
    with filled([(each.title, each.text) for each in corpus], embedder) as bench:
        queries = asked(corpus, embedder, tuning=True)
        print("| share of the words | recall@5 | nDCG@10 |\n|---|---|---|")
        for share in SHARES:
            weights = replace(OPEN, lexical=share)
            hits, gains = quality(queries, partial(bench.found, weights=weights))
            print(f"| {share} | {hits:.3f} | {gains:.3f} |", flush=True)
    print("\n| records | gate that one unrelated sentence in twenty reaches |\n|---|---|")
    others = unrelated()[::2]
    vectors = embedder.embed(others)
    for count in (50, 200, 1_000, len(corpus)):
        part = random.Random(count).sample(list(corpus), count)
        with filled([(each.title, each.text) for each in part], embedder) as bench:
            best = [
                bench.recaller.relevance(text, EVERYWHERE, vector)
                for text, vector in zip(others, vectors, strict=True)
            ]
        print(f"| {count:,} | {np.quantile(best, 0.95):.3f} |", flush=True)


def report_time(corpus: Sequence[Passage], count: int, embedder: Embedder) -> None:
    """Time and size at `count` records: the corpus, filled up with other real code."""
    records = [(each.title, each.text) for each in corpus][:count]
    records += code_lines(count - len(records)) if count > len(records) else []
    with filled(records, embedder) as bench:
        bench.dense.feed()
        queries = asked(corpus[:count], embedder, tuning=False)
        hits, gains = quality(queries[:300], bench.found)
        fresh = asked(corpus, embedder, tuning=True)[: TIMED + WARM_UP]
        rows: list[list[float]] = []
        for each in fresh:
            steps: list[Callable[[], object]] = [
                partial(embedder.embed, [each.text]),
                partial(bench.words.search, EVERYWHERE, each.text),
                partial(bench.nearest, each),
                partial(bench.found, each, Weights(), 5),
            ]
            times = [_milliseconds(step) for step in steps]
            rows.append([*times, times[0] + times[3]])
        cuts = [quantiles(column, n=20) for column in zip(*rows[WARM_UP:], strict=True)]
        # With the write-ahead log, which holds all of a small memory.
        size = sum(path.stat().st_size for path in bench.folder.glob("memory.db*"))
        chroma = sum(p.stat().st_size for p in (bench.folder / "index").rglob("*") if p.is_file())
        parts = " | ".join(f"{cut[18]:.1f}" for cut in cuts[:3])
        print(
            f"| {count:,} | {hits:.3f} | {gains:.3f} | {parts} | {cuts[4][9]:.1f} |"
            f" {cuts[4][18]:.1f} | {size / 1e6:.0f} | {size / count / 1e3:.1f} |"
            f" {chroma / 1e6:.0f} |",
            flush=True,
        )


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--embedder", nargs="+", default=["hashing", "minilm"])
    parser.add_argument("--counts", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--calibrate", action="store_true", help="what the constants come from")
    parser.add_argument("--quality-only", action="store_true", help="no times and sizes")
    options = parser.parse_args()
    corpus = passages()
    held = sum(each.query is not None and not each.tuning for each in corpus)
    print(f"{len(corpus):,} functions, {held:,} held-back queries, {QUERIES:,} of them asked\n")
    embedders: dict[str, Embedder] = {}
    for name in options.embedder:
        try:
            embedders[name] = make_embedder(MemoryConfig(embedder=name))
        except ConfigurationError as error:
            print(f"{name}: not measured: {error}\n")
    print(
        "| embedder | search | recall@5 | nDCG@10 | recall@5 after the cut-off | nDCG@10 |\n"
        "|---|---|---|---|---|---|"
    )
    for name, embedder in embedders.items():
        report_quality(corpus, name, embedder)
        if options.calibrate:
            report_calibration(corpus, embedder)
    if options.quality_only:
        return
    name, embedder = next(iter(embedders.items()))
    print(
        f"Embedder {name}; exact search up to {EXACT_LIMIT:,} records, Chroma above; p95 of "
        "milliseconds where nothing else is said.\n"
    )
    print(
        "| records | recall@5 | nDCG@10 | embed | words | vectors | whole p50 | whole p95 | MB"
        " | kB a record | MB Chroma |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for count in options.counts:
        report_time(corpus, count, embedder)


if __name__ == "__main__":
    main()
