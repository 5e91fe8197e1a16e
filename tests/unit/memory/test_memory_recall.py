"""Recall on a labelled collection, and against arbitrary text."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.memory.base import MemoryRecord, RecallQuery, RecordKind
from harness.memory.embedders import calibrate
from harness.memory.hashing import HashingEmbedder
from harness.memory.index import DenseIndex
from harness.memory.lexical import LexicalIndex
from harness.memory.open import open_store
from harness.memory.ranking import Weights
from harness.memory.recall import Found, Recaller
from harness.memory.rows import EmbedderRow, Place, prepared
from harness.memory.store import Store
from harness.testing.memory import make_query, make_record

EMBEDDER = HashingEmbedder(384)
EVERYWHERE = Place("global")
WEIGHTS = Weights()

TEXTS = {
    "cooling": "Annealing with geometric cooling escaped the local optimum: 2.41 to 2.5.",
    "corners": "Put the four largest circles into the corners first; greedy fill of the rest.",
    "slsqp": "SLSQP polishing of centres and radii after a random restart gained 0.03.",
    "timeout": "Vectorising the inner loop with numpy avoided the timeout of the produce stage.",
    "memory": "Loading the whole training table with pandas ran out of memory at 16 GB.",
    "folds": "Five-fold cross validation with target encoding leaked; group folds fixed it.",
    "kernel": "Fusing softmax with the matrix product into one Triton kernel halved the latency.",
    "tokens": "Label smoothing of 0.1 and a cosine learning rate improved validation accuracy.",
    "sorting": "A network of 25 comparators sorts nine inputs; mirrored symmetry cut the search.",
    "penalty": "A quadratic penalty for overlaps made gradient descent on radii feasible.",
    "nan": "The loss became NaN after step 400: clip gradients or lower the learning rate.",
    "cache": "Caching pairwise distances between centres made an evaluation ten times faster.",
}
RELATED = [
    ("annealing temperature and cooling", "cooling"),
    ("simulatedAnnealing(cooling_rate)", "cooling"),
    ("circles in the corners", "corners"),
    ("polish radii with SLSQP", "slsqp"),
    ("the produce stage timed out: timeout", "timeout"),
    ("out of memory loading a table", "memory"),
    ("cross-validation leak in folds", "folds"),
    ("fuse softmax in a Triton kernel", "kernel"),
    ("cosine learning rate schedule", "tokens"),
    ("comparator network for sorting", "sorting"),
    ("penalise overlaps of circles", "penalty"),
    ("loss is NaN, gradients explode", "nan"),
    ("cache distances of centres", "cache"),
]
UNRELATED = [
    "bake sourdough bread with rye flour",
    "who won the football championship",
    "visa requirements for a trip to Brazil",
    "symptoms of vitamin deficiency",
    "how to tune a violin",
    "interest rates and mortgage payments",
    "translate a poem from Portuguese",
    "repair a leaking kitchen tap",
]


class Bench:
    """A store with its searches."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = open_store(folder)
        self.row: EmbedderRow = self.store.set_embedder(
            EMBEDDER.identity, EMBEDDER.dimensions, *calibrate(EMBEDDER)
        )
        self.words = LexicalIndex(self.store)
        self.dense = DenseIndex(self.store, self.row, None)
        self.recaller = Recaller(self.store, self.words, self.dense, self.row)

    def add(self, record: MemoryRecord) -> None:
        kept = prepared(record)
        vector = EMBEDDER.embed([f"{kept.title}\n{kept.text}"])[0]
        self.store.insert(kept, vector, self.row.number, 0.0)

    def titles(self, query: RecallQuery, place: Place = EVERYWHERE) -> list[str]:
        found = self.found(query, place)
        records = self.store.by_seq([each.candidate.seq for each in found.chosen])
        return [records[each.candidate.seq].title for each in found.chosen]

    def found(
        self, query: RecallQuery, place: Place = EVERYWHERE, weights: Weights = WEIGHTS
    ) -> Found:
        return self.recaller.recall(query, place, EMBEDDER.embed([query.text])[0], weights)


def scores(found: Found) -> list[tuple[int, float]]:
    return [(each.candidate.seq, each.score) for each in (*found.chosen, *found.candidates)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("memory"))
    for title, text in TEXTS.items():
        bench.add(make_record(title, text))
    return bench


@pytest.mark.parametrize(("text", "title"), RELATED)
def test_the_related_record_comes_first(bench: Bench, text: str, title: str) -> None:
    assert bench.titles(make_query(text))[0] == title


@pytest.mark.parametrize("text", UNRELATED)
def test_an_unrelated_query_finds_nothing(bench: Bench, text: str) -> None:
    assert bench.titles(make_query(text)) == []


def test_the_words_alone_find_it_when_no_embedder_answers(bench: Bench) -> None:
    query = make_query("SLSQP polishing")
    found = bench.recaller.recall(query, EVERYWHERE, None, WEIGHTS)
    assert len(found.chosen) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.text('"*():^-+ANDORNOTEAR{}\x00\n' + "ab"), st.from_regex(r"\W+")))
def test_no_text_is_a_syntax_error(bench: Bench, text: str) -> None:
    assert len(bench.titles(make_query(text))) <= 5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(TEXTS.values())), st.integers(0, 12))
def test_recall_repeats_itself(bench: Bench, text: str, limit: int) -> None:
    query = make_query(text, limit=limit)
    titles = bench.titles(query)
    fresh = DenseIndex(bench.store, bench.row, None)
    vector = EMBEDDER.embed([text])[0]
    recaller = Recaller(bench.store, LexicalIndex(bench.store), fresh, bench.row)
    again = recaller.recall(query, EVERYWHERE, vector, WEIGHTS)
    assert scores(again) == scores(bench.found(query))
    assert len(again.chosen) == len(titles) == len(set(titles)) <= limit
    assert bench.titles(query) == titles


def test_a_rare_match_survives_a_filter(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(120):
        bench.add(make_record(f"note {number}", f"annealing number {number} cooled slowly"))
    bench.add(make_record("the one", "annealing cooled slowly", kind=RecordKind.INSIGHT))
    query = make_query("annealing cooled slowly", kinds=(RecordKind.INSIGHT,))
    assert bench.titles(query) == ["the one"]


def test_one_author_gets_half_when_others_have_something(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for way in ("slow", "fast", "adaptive", "threshold", "parallel", "tempered", "hybrid"):
        bench.add(make_record(f"loud {way}", f"annealing {way}", agent="loud"))
    for way in ("quantum", "greedy"):
        text = f"annealing of the {way} sort, tried on the third day without much hope"
        bench.add(make_record(f"quiet {way}", text, agent="quiet"))
    titles = bench.titles(make_query("annealing", limit=4))
    assert [title.split()[0] for title in titles].count("quiet") == 2
    # Places that nobody else wants are free.
    assert len(bench.titles(make_query("annealing", limit=9))) == 9
