"""The memory against a plain-Python model of it, over random sequences of operations."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.clock import SystemClock
from harness.ids import RecordId
from harness.memory.base import MemoryConfig, MemoryRecord, RecordKind
from harness.memory.open import open_memory
from harness.testing.memory import make_query, make_record

RECORDS = [
    make_record(
        f"record {number}",
        f"annealing way {number}",
        kind=list(RecordKind)[number % 5],
        task=("packing", "sorting")[number % 2],
        run=f"run-{number % 3}",
        outcome=("", "improved", "worse")[number % 3],
        audience=("task", "task", "global", "run")[number % 4],
    )
    for number in range(8)
]
numbers = st.integers(0, len(RECORDS) - 1)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), numbers),
        st.tuples(st.just("rewrite"), numbers),
        st.tuples(st.just("credit"), numbers),
        st.tuples(st.just("recall"), numbers),
        st.tuples(st.just("retire"), numbers),
        st.tuples(st.just("restore"), numbers),
        st.tuples(st.just("reopen"), numbers),
    ),
    max_size=14,
)


class Model:
    """What the memory should hold."""

    def __init__(self) -> None:
        self.records: dict[RecordId, MemoryRecord] = {}
        self.log: list[str] = []
        self.credited: set[str] = set()
        self.uses = 0
        self.retired: set[RecordId] = set()

    def write(self, record: MemoryRecord) -> None:
        if record.id not in self.records:
            self.records[record.id] = record
            self.log.append("write")

    def retire(self, record: RecordId) -> None:
        if record in self.records and record not in self.retired:
            self.retired.add(record)
            self.log.append("forget")

    def restore(self, record: RecordId) -> None:
        if record in self.retired:
            self.retired.remove(record)
            self.log.append("restore")

    def live(self) -> list[MemoryRecord]:
        return [each for each in self.records.values() if each.id not in self.retired]

    def sees(self, reader: MemoryRecord, record: MemoryRecord) -> bool:
        if record.audience == "run":
            return (record.run, record.task) == (reader.run, reader.task)
        return record.task == reader.task or record.audience == "global"

    def credit(self, attempt: str, record: RecordId) -> None:
        if attempt not in self.credited:
            self.credited.add(attempt)
            self.log.append("credit")
            self.uses += record in self.records


async def apply(memory: Any, model: Model, op: str, record: MemoryRecord) -> None:
    if op == "write":
        await memory.write(record)
        model.write(record)
    elif op == "rewrite":
        changed = replace(record, text="changed")
        await memory.write(changed)
        model.write(changed)
    elif op == "credit":
        await memory.credit(record.run, "agent-1", record.title, "improved", [record.id])
        model.credit(record.title, record.id)
    elif op == "recall":
        query = make_query("annealing way", task=record.task, run=record.run, limit=100)
        found = await memory.recall(query)
        model.log.append("recall")
        expected = {
            each.title
            for each in model.live()
            if model.sees(record, each) and "annealing" in each.text
        }
        assert {each.record.title for each in found} == expected

    elif op == "retire":
        await memory.retire(record.id, "a test")
        model.retire(record.id)
    elif op == "restore":
        await memory.restore(record.id)
        model.restore(record.id)


async def check(memory: Any, model: Model) -> None:
    newest_first = model.live()[::-1]
    assert await memory.records() == newest_first
    assert [entry.op for entry in await memory.log()] == model.log
    for kind in RecordKind:
        expected = [record for record in newest_first if record.kind is kind]
        assert await memory.records(kind=kind) == expected
    stats = await memory.stats()
    held = len(model.records)
    assert stats["retired"] == len(model.retired)
    assert (stats["records"], stats["vectors"], stats["words"]) == (held, held, held)
    assert stats["uses"] == model.uses


@given(operations)
def test_the_memory_is_its_model(sequence: list[tuple[str, int]]) -> None:
    async def play(folder: str) -> None:
        model = Model()
        with ThreadPoolExecutor(2) as executor:
            config = MemoryConfig(path=folder)
            memory = await open_memory(config, executor, clock=SystemClock())
            for op, number in sequence:
                if op == "reopen":
                    await memory.close()
                    memory = await open_memory(config, executor, clock=SystemClock())
                else:
                    await apply(memory, model, op, RECORDS[number])
            await check(memory, model)
            await memory.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(folder))
