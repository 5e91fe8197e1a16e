"""Consolidation: figures of attempts become insights; what is outdated retires and comes back."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clock import SystemClock
from harness.ids import RecordId
from harness.memory.base import MemoryConfig, MemoryRecord, RecordKind
from harness.memory.lessons import Interval, insights
from harness.memory.open import open_memory
from harness.memory.sqlite import SqliteMemory
from harness.testing.memory import make_query, make_record


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[SqliteMemory]:
    with ThreadPoolExecutor(2) as executor:
        memory = await open_memory(MemoryConfig(path=str(tmp_path)), executor, clock=SystemClock())
        yield memory
        await memory.close()


def attempt(number: int, edit: str, *, step: float, improved: bool) -> MemoryRecord:
    return make_record(
        f"{edit} {number}",
        f"{edit} the {number}th way",
        kind=RecordKind.ATTEMPT,
        attempt=str(number),
        created_at=float(number),
        score=2.0 if improved else 0.5,
        outcome="improved" if improved else "worse",
        data={
            "operator": "evolve",
            "before": 1.0,
            "detail": {"edit": edit, "place": "a.py:X", "column": 1, "step": step},
        },
    )


def series(edit: str, start: int, count: int, wins: int) -> list[MemoryRecord]:
    return [
        attempt(start + n, edit, step=0.1 if n < wins else -0.5, improved=n < wins)
        for n in range(count)
    ]


def test_an_insight_has_the_figures_and_its_evidence() -> None:
    records = [*series("scale", 1, 10, 4), *series("shift", 20, 4, 4)]
    (insight,) = insights(records, at=99.0)  # four attempts say nothing yet
    assert (insight.kind, insight.title) == (RecordKind.INSIGHT, "scale: 4 of 10 attempts improved")
    assert "95 % interval 17% to 69%" in insight.text
    assert "around 0.1" in insight.text
    assert set(insight.data["evidence"]) == {record.id for record in records[:10]}
    finest = next(each for each in insight.data["lessons"] if len(each["key"]) == 3)
    key = ["scale", "a.py:X", 1]
    assert finest == {"key": key, "tries": 10, "wins": 4, "merit": 0.4, "step": 0.1}


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_share(tries: int, data: st.DataObject) -> None:
    wins = data.draw(st.integers(0, tries))
    low, high = Interval.of(wins, tries)
    assert 0.0 <= low <= wins / tries + 1e-12
    assert wins / tries - 1e-12 <= high <= 1.0


async def test_new_evidence_replaces_and_the_old_comes_back(memory: SqliteMemory) -> None:
    for record in series("scale", 1, 10, 4):
        await memory.write(record)
    assert (await memory.consolidate("packing"))["new"] == 1
    assert await memory.consolidate("packing") == {
        "new": 0, "replaced": 0, "contradicted": 0, "merged": 0,
    }  # fmt: skip
    (first,) = await memory.records(kind=RecordKind.INSIGHT)
    for record in series("scale", 20, 10, 4):
        await memory.write(record)
    assert (await memory.consolidate("packing"))["replaced"] == 1
    (second,) = await memory.records(kind=RecordKind.INSIGHT)
    assert second.title == "scale: 8 of 20 attempts improved"
    query = make_query("scale attempts improved", kinds=(RecordKind.INSIGHT,))
    assert [each.record for each in await memory.recall(query)] == [second]
    await memory.restore(first.id)
    await memory.retire(second.id, "a mistake")
    assert [each.record for each in await memory.recall(query)] == [first]


async def test_a_contradicted_insight_gives_way_to_what_came_after(memory: SqliteMemory) -> None:
    for record in series("scale", 1, 20, 18):
        await memory.write(record)
    await memory.consolidate("packing")
    for record in series("scale", 50, 20, 0):
        await memory.write(record)
    assert (await memory.consolidate("packing"))["contradicted"] == 1
    (insight,) = await memory.records(kind=RecordKind.INSIGHT)
    assert insight.title == "scale: 0 of 20 attempts improved"
    assert (await memory.consolidate("packing"))["new"] == 0, "it stays so"


async def test_what_is_said_twice_is_kept_once(memory: SqliteMemory) -> None:
    note = make_record("Slow cooling", "A slow schedule escaped the local optimum.")
    twin = replace(note, id=make_record("twin", "").id, agent="agent-2")
    other = make_record("Corners", "The four corners stay empty.")
    attempts = series("scale", 1, 2, 1)
    for record in (note, twin, other, *attempts, replace(attempts[0], id=RecordId(twin.id[::-1]))):
        await memory.write(record)
    assert (await memory.consolidate("packing"))["merged"] == 1
    assert await memory.records(kind=RecordKind.NOTE) == [other, note]
    assert len(await memory.records(kind=RecordKind.ATTEMPT)) == 3
