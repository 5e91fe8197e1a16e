"""The words of a record as the lexical index holds them."""

import sqlite3
from collections import Counter
from typing import NamedTuple

from harness.memory.rows import FOR_ALL, Place
from harness.memory.text import index_token, words

TITLE_COUNT = 4.0
"""What a word in the title counts beside its mentions in the text.

On the tuning half of `benchmarks/memory_recall.py`, 1, 2, 3 and 5 give a recall@5 of 0.615, 0.621,
0.625 and 0.633.
"""


class Bucket(NamedTuple):
    """A column of the index: for words that a text has up to `most` times, which count `mean`."""

    column: str
    most: float
    mean: float


TEXT_BUCKETS = (
    Bucket("one", 1, 1.0),
    Bucket("two", 2, 2.0),
    Bucket("some", 5, 3.5),
    Bucket("many", float("inf"), 8.0),
)
"""BM25 is nearly flat from eight mentions on, so coarse counts are enough."""
BUCKETS = (*TEXT_BUCKETS, Bucket("title", float("inf"), TITLE_COUNT))


class IndexedWords(NamedTuple):
    """A record's words by column, in the order of `BUCKETS`, and how many there are in all."""

    columns: tuple[str, ...]
    length: int


def indexed(title: str, text: str) -> IndexedWords:
    """What the index keeps of a record."""
    head = [index_token(word) for word in words(title)]
    body = [index_token(word) for word in words(text)]
    counts = Counter(body)
    columns: list[list[str]] = [[] for _ in TEXT_BUCKETS]
    for word, count in counts.items():
        place = next(i for i, bucket in enumerate(TEXT_BUCKETS) if count <= bucket.most)
        columns[place].append(word)
    return IndexedWords(
        tuple(" ".join(column) for column in (*columns, head)), len(head) + len(body)
    )


def put(
    db: sqlite3.Connection, seq: int, found: IndexedWords, *, task: str, run: str, audience: str
) -> None:
    """Add a record's words to the index."""
    place = f"{Place('task', task).token} {Place('run', run).token}"
    if audience == "global":
        place += f" {FOR_ALL}"
    marks = ", ".join("?" * (len(found.columns) + 2))
    names = ", ".join(bucket.column for bucket in BUCKETS)
    db.execute(
        f"INSERT INTO lexical (rowid, {names}, place) VALUES ({marks})",
        (seq, *found.columns, place),
    )


def index_all(db: sqlite3.Connection) -> None:
    """Make the index of all records again, inside the caller's transaction."""
    db.execute("INSERT INTO lexical (lexical) VALUES ('delete-all')")
    lengths: list[tuple[int, int]] = []
    for seq, title, text, task, run, audience in db.execute(
        "SELECT seq, title, text, task, run, audience FROM records ORDER BY seq"
    ):
        found = indexed(title, text)
        put(db, seq, found, task=task, run=run, audience=audience)
        lengths.append((found.length, seq))
    db.executemany("UPDATE records SET length = ? WHERE seq = ?", lengths)


def query_terms(text: str, most: int) -> list[str]:
    """The different words of a query, the first `most` of them."""
    return list(dict.fromkeys(index_token(word) for word in words(text)))[:most]
