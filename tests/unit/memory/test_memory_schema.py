"""A memory of an older version is brought up to date."""

import sqlite3
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.memory.folder import DATABASE
from harness.memory.lexical import LexicalIndex
from harness.memory.open import open_store, open_store_readonly
from harness.memory.rows import Place
from harness.testing.memory import ANNEALING, GRID

FORMAT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
    task TEXT NOT NULL, run TEXT NOT NULL, agent TEXT NOT NULL,
    created_at REAL NOT NULL, attempt TEXT, score REAL, outcome TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX records_by_task ON records (task);
CREATE INDEX records_by_run ON records (run);
CREATE TABLE embedders (
    number INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE,
    dimensions INTEGER NOT NULL, floor REAL NOT NULL
);
CREATE TABLE vectors (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL REFERENCES records, embedder INTEGER NOT NULL REFERENCES embedders,
    vector BLOB NOT NULL,
    UNIQUE (seq, embedder)
);
CREATE VIRTUAL TABLE lexical USING fts5 (
    words, place, content='', detail=column, tokenize='porter unicode61'
);
CREATE TABLE log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, op TEXT NOT NULL, run TEXT NOT NULL, agent TEXT NOT NULL,
    query TEXT NOT NULL, attempt TEXT
);
CREATE INDEX log_by_run ON log (run, agent);
CREATE UNIQUE INDEX one_credit ON log (run, agent, attempt) WHERE op = 'credit';
CREATE TABLE shown (
    entry INTEGER NOT NULL REFERENCES log, rank INTEGER NOT NULL,
    seq INTEGER NOT NULL REFERENCES records, score REAL NOT NULL,
    PRIMARY KEY (entry, rank)
) WITHOUT ROWID;
CREATE TABLE uses (
    seq INTEGER NOT NULL REFERENCES records, outcome TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (seq, outcome)
) WITHOUT ROWID;
INSERT INTO log VALUES (1, 5.0, 'write', 'run-1', 'agent-1', '', NULL);
INSERT INTO shown VALUES (1, 1, 1, 0.0);
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    database = sqlite3.connect(tmp_path / DATABASE)
    database.executescript(FORMAT_1)
    for record in (ANNEALING, GRID):
        database.execute(
            "INSERT INTO records VALUES (NULL, ?, 'note', ?, ?, 'packing', 'run-1', 'agent-1',"
            " ?, NULL, NULL, '', '{}')",
            (record.id, record.title, record.text, record.created_at),
        )
    database.commit()
    database.close()
    return tmp_path


def test_records_words_and_log_are_there_afterwards(old: Path) -> None:
    store = open_store(old)
    assert store.records(kind=None, task=None, run=None, limit=9) == [GRID, ANNEALING]
    assert LexicalIndex(store).search(Place("task", "packing"), "cooling schedule").seqs == [1]
    assert [entry.op for entry in store.log(run=None, attempt=None, limit=9)] == ["write"]
    store.close()
    again = open_store_readonly(old)
    assert again.counts()["words"] == 2
    again.close()


def test_reading_alone_says_what_to_do(old: Path) -> None:
    with pytest.raises(StoreError, match="harness memory reindex"):
        open_store_readonly(old)
