"""Consolidation: attempts become insights, what says the same is merged, the contradicted retires.

Nothing is deleted: what goes is marked with the reason and comes back by `restore`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from harness.memory import lookup
from harness.memory.base import MemoryRecord, RecordKind
from harness.memory.embedders import Embedder
from harness.memory.lessons import contradicted, insights, subject
from harness.memory.ranking import SAME
from harness.memory.rows import EmbedderRow, prepared
from harness.memory.store import Store

MOST_ATTEMPTS = 5_000
"""Newest attempts of a task that are looked at."""
MOST_RECORDS = 2_000
"""Newest records of a kind among which the same is looked for."""
MERGED_KINDS = (RecordKind.NOTE, RecordKind.INSIGHT, RecordKind.SKILL, RecordKind.KNOWLEDGE)
"""Attempts stay, however alike: each is a try that counts."""


def consolidate(
    store: Store, embedder: Embedder, row: EmbedderRow, task: str, *, at: float
) -> Mapping[str, int]:
    """Distil the attempts of a task and tidy up what was learnt of it. Blocking; repeatable.

    Returns:
        How many insights are `new`, how many were `replaced` and `contradicted`, and how many
        records were `merged`.
    """
    attempts = store.records(kind=RecordKind.ATTEMPT, task=task, run=None, limit=MOST_ATTEMPTS)
    found = store.records(kind=RecordKind.INSIGHT, task=task, run=None, limit=MOST_RECORDS)
    known = {subject(each): each for each in found if subject(each)}
    since = {
        name: float(each.data["since"]) for name, each in known.items() if each.data.get("since")
    }
    done = {"new": 0, "replaced": 0, "contradicted": 0, "merged": 0}
    for insight in insights(attempts, at=at, since=since):
        old = known.get(subject(insight))
        if old is not None and old.id == insight.id:
            continue
        if old is not None and contradicted(old, insight):
            insight = _since(attempts, old, at) or insight
            done["contradicted"] += 1
            store.retire(old.id, f"contradicted by {insight.id}: {insight.title}", at=at)
        elif old is not None:
            done["replaced"] += 1
            store.retire(old.id, f"replaced by {insight.id}: {insight.title}", at=at)
        kept = prepared(insight)
        vector = embedder.embed([f"{kept.title}\n{kept.text}"])[0]
        done["new"] += store.insert(kept, vector, row.number, at)
    for kind in MERGED_KINDS:
        done["merged"] += _merge(store, row, task, kind, at)
    return done


def _since(attempts: Sequence[MemoryRecord], old: MemoryRecord, at: float) -> MemoryRecord | None:
    """The insight from the attempts after those that `old` was made from, if they are enough."""
    later = {subject(old): float(old.data["until"])}
    found = insights(attempts, at=at, since=later)
    return next((each for each in found if subject(each) == subject(old)), None)


def _merge(store: Store, row: EmbedderRow, task: str, kind: RecordKind, at: float) -> int:
    """Retire records that say what an older one says; the older one is kept."""
    records = store.records(kind=kind, task=task, run=None, limit=MOST_RECORDS)[::-1]
    seqs = store.seqs([each.id for each in records])
    vectors = lookup.vectors_of(store, row.number, seqs)
    # What was retired above and what has other files is not the same, however alike the words.
    having = [
        (each, vectors[seq])
        for each, seq in zip(records, seqs, strict=True)
        if seq in vectors and not subject(each) and "files" not in each.data
    ]
    if len(having) < 2:
        return 0
    matrix = np.stack([vector for _, vector in having])
    merged = 0
    gone = np.zeros(len(having), np.bool_)
    for index, (record, vector) in enumerate(having):
        if gone[index] or not vector.any():
            continue
        alike = np.flatnonzero(np.einsum("ij,j->i", matrix[index + 1 :], vector) >= SAME)
        for later in (alike + index + 1).tolist():
            same_reader = having[later][0].audience == record.audience
            if not gone[later] and same_reader and having[later][0].id != record.id:
                gone[later] = True
                store.retire(having[later][0].id, f"says the same as {record.id}", at=at)
                merged += 1
    return merged
