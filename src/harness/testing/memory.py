"""What every memory must do. Subclass `MemoryContract` and give it `opener`.

class TestMyMemory(MemoryContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener: ...
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.ids import RecordId
from harness.memory.base import Memory, MemoryRecord, RecallQuery, RecordKind, Scope

Opener = Callable[[Scope], Awaitable[Memory]]
"""Opens the same memory again and again, each time with the scope asked for."""


def make_record(name: str, text: str, **changes: Any) -> MemoryRecord:
    """A note of agent-1 in run `run-1` of task `packing`; `name` decides its id."""
    record = MemoryRecord(
        id=RecordId(uuid.uuid5(uuid.NAMESPACE_OID, name).hex),
        kind=RecordKind.NOTE,
        title=name,
        text=text,
        task="packing",
        run="run-1",
        agent="agent-1",
        created_at=1_700_000_000.0,
    )
    return replace(record, **changes)


def make_query(text: str, **changes: Any) -> RecallQuery:
    """A query of agent-1 in run `run-1` of task `packing`."""
    query = RecallQuery(text, "improve", task="packing", run="run-1", agent="agent-1")
    return replace(query, **changes)


ANNEALING = make_record(
    "Slow cooling", "Simulated annealing with a slow cooling schedule escaped the local optimum."
)
GRID = make_record("Hexagonal grid", "Starting from a hexagonal lattice wastes the four corners.")
OVERLAP = make_record(
    "Bigger steps",
    "Doubling the step size made the circles overlap; the judge refused it.",
    kind=RecordKind.ATTEMPT,
    outcome="invalid",
    attempt="7",
)


class MemoryContract:
    """Duties of `harness.memory.base.Memory`."""

    @pytest.fixture
    def opener(self) -> Opener:
        pytest.fail("override the fixture `opener`")

    @pytest.fixture
    async def memory(self, opener: Opener) -> Any:
        memory = await opener("task")
        yield memory
        await memory.close()

    async def test_keeps_what_is_written(self, memory: Memory) -> None:
        record = replace(OVERLAP, score=2.5, data={"step": 0.1, "path": ["a", 1, None]})
        await memory.write(record)
        assert await memory.get(record.id) == record
        assert await memory.records() == [record]

    async def test_lists_newest_first_by_kind_task_and_run(self, memory: Memory) -> None:
        other = replace(make_record("other", "elsewhere"), task="sorting", run="run-2")
        for record in (ANNEALING, OVERLAP, other):
            await memory.write(record)
        assert await memory.records() == [other, OVERLAP, ANNEALING]
        assert await memory.records(limit=1) == [other]
        assert await memory.records(kind=RecordKind.ATTEMPT) == [OVERLAP]
        assert await memory.records(task="packing") == [OVERLAP, ANNEALING]
        assert await memory.records(run="run-2") == [other]

    async def test_writing_an_id_again_changes_and_logs_nothing(self, memory: Memory) -> None:
        await memory.write(ANNEALING)
        await memory.write(replace(ANNEALING, text="something else"))
        assert await memory.records() == [ANNEALING]
        assert [entry.op for entry in await memory.log()] == ["write"]

    async def test_is_there_when_opened_again(self, opener: Opener) -> None:
        first = await opener("task")
        await first.write(ANNEALING)
        await first.recall(make_query("cooling schedule"))
        await first.close()
        second = await opener("task")
        try:
            assert await second.records() == [ANNEALING]
            found = await second.recall(make_query("cooling schedule"))
            assert [each.record for each in found] == [ANNEALING]
            assert [entry.op for entry in await second.log()] == ["write", "recall", "recall"]
        finally:
            await second.close()

    async def test_two_openings_see_each_other(self, opener: Opener) -> None:
        left, right = await opener("task"), await opener("task")
        try:
            await left.write(ANNEALING)
            assert await right.recall(make_query("annealing")) != []
            await right.write(GRID)
            found = await left.recall(make_query("hexagonal lattice corners"))
            assert [each.record for each in found] == [GRID]
        finally:
            await left.close()
            await right.close()

    async def test_recalls_what_bears_on_the_query(self, memory: Memory) -> None:
        for record in (GRID, ANNEALING, OVERLAP):
            await memory.write(record)
        found = await memory.recall(make_query("try an annealing schedule with slower cooling"))
        assert found[0].record == ANNEALING
        assert [each.rank for each in found] == list(range(1, len(found) + 1))
        assert all(each.score > 0 for each in found)

    @pytest.mark.parametrize(
        "text",
        [
            "knead the sourdough and bake the bread",
            "quarterly inflation of consumer prices",
            "the of and with",
            "",
            "   \n\t ",
            '"',
        ],
    )
    async def test_recalls_nothing_rather_than_something_unrelated(
        self, memory: Memory, text: str
    ) -> None:
        for record in (GRID, ANNEALING, OVERLAP):
            await memory.write(record)
        assert await memory.recall(make_query(text)) == []

    async def test_an_empty_memory_recalls_nothing(self, memory: Memory) -> None:
        assert await memory.recall(make_query("annealing")) == []

    async def test_shows_at_most_the_limit(self, memory: Memory) -> None:
        ways = ("slow", "fast", "adaptive", "threshold", "parallel", "quantum")
        for way in ways:
            await memory.write(make_record(way, f"Annealing in the {way} way."))
        assert len(await memory.recall(make_query("annealing", limit=3))) == 3
        assert await memory.recall(make_query("annealing", limit=0)) == []

    async def test_failures_are_recalled_and_can_be_asked_for(self, memory: Memory) -> None:
        for record in (GRID, ANNEALING, OVERLAP):
            await memory.write(record)
        plain = await memory.recall(make_query("circles overlap with a bigger step size"))
        assert plain[0].record == OVERLAP
        failed = await memory.recall(
            make_query("circles overlap with a bigger step size", outcomes=("invalid",))
        )
        assert [each.record for each in failed] == [OVERLAP]
        improved = make_query("circles overlap with a bigger step size", outcomes=("improved",))
        assert await memory.recall(improved) == []

    async def test_filters_by_kind(self, memory: Memory) -> None:
        text = "Shrink the radii until the circles fit."
        note = make_record("a note", text)
        attempt = make_record("an attempt", text, kind=RecordKind.ATTEMPT)
        for record in (note, attempt):
            await memory.write(record)
        query = make_query("shrink the radii of the circles", kinds=(RecordKind.ATTEMPT,))
        assert [each.record for each in await memory.recall(query)] == [attempt]

    @pytest.mark.parametrize(
        ("scope", "seen"), [("run", {"own"}), ("task", {"own", "task"}), ("global", None)]
    )
    async def test_scope_decides_what_is_seen(
        self, opener: Opener, scope: Scope, seen: set[str] | None
    ) -> None:
        memory = await opener(scope)
        try:
            for name, task, run, how in (
                ("own", "packing", "run-1", "slowly"),
                ("task", "packing", "run-2", "quickly"),
                ("other", "sorting", "run-3", "adaptively"),
            ):
                text = f"Annealing {how} escapes."
                await memory.write(make_record(name, text, task=task, run=run))
            found = await memory.recall(make_query("annealing escapes"))
            assert {each.record.title for each in found} == (seen or {"own", "task", "other"})
        finally:
            await memory.close()

    async def test_what_a_run_recalls_does_not_depend_on_other_runs(self, opener: Opener) -> None:
        memory = await opener("run")
        try:
            for record in (GRID, ANNEALING, OVERLAP):
                await memory.write(record)
            query = make_query("the judge refused the hexagonal lattice with a slow schedule")
            alone = await memory.recall(query)
            for number in range(40):
                text = f"The judge refused lattice {number}, annealing, cooling schedule {number}."
                await memory.write(make_record(f"noise {number}", text, run="run-2"))
            assert await memory.recall(query) == alone
            assert alone != []
        finally:
            await memory.close()

    async def test_copies_do_not_crowd_out_the_rest(self, memory: Memory) -> None:
        await memory.write(ANNEALING)
        for number in range(100):
            copy = make_record(f"flood {number}", "Annealing schedule: print 99.", agent="agent-2")
            await memory.write(replace(copy, title="Annealing"))
        found = await memory.recall(make_query("annealing cooling schedule"))
        assert ANNEALING in [each.record for each in found]
        assert sum(each.record.agent == "agent-2" for each in found) <= 3

    async def test_every_recall_is_logged_with_what_was_shown(self, memory: Memory) -> None:
        await memory.write(ANNEALING)
        found = await memory.recall(make_query("cooling schedule", agent="agent-9"))
        assert await memory.recall(make_query("sourdough bread")) == []
        write, hit, miss = await memory.log()
        assert (write.op, write.records[0].id) == ("write", ANNEALING.id)
        assert (hit.op, hit.agent, hit.query, hit.run) == (
            "recall",
            "agent-9",
            "cooling schedule",
            "run-1",
        )
        shown = hit.records[0]
        assert (shown.id, shown.rank, shown.score) == (ANNEALING.id, 1, found[0].score)
        assert ANNEALING.text in shown.text
        assert (miss.op, miss.records) == ("recall", ())

    async def test_a_credit_names_the_attempt_that_a_recall_served(self, memory: Memory) -> None:
        await memory.write(ANNEALING)
        await memory.recall(make_query("cooling schedule"))
        for _ in range(2):  # a resumed run says it again
            await memory.credit("run-1", "agent-1", "12", "improved", [ANNEALING.id])
        log = await memory.log(attempt="12")
        assert [entry.op for entry in log] == ["recall", "credit"]
        assert [shown.id for shown in log[1].records] == [ANNEALING.id]
        assert log[1].query == "improved"

    async def test_a_citation_is_logged(self, memory: Memory) -> None:
        await memory.write(ANNEALING)
        await memory.cite("run-1", "agent-1", [ANNEALING.id, RecordId("unknown")], attempt="3")
        (entry,) = await memory.log(attempt="3")
        assert (entry.op, [shown.id for shown in entry.records]) == ("cite", [ANNEALING.id])

    async def test_the_log_is_of_one_run_when_asked(self, memory: Memory) -> None:
        await memory.write(ANNEALING)
        await memory.write(make_record("other", "text", run="run-2"))
        assert [entry.run for entry in await memory.log(run="run-2")] == ["run-2"]
        assert len(await memory.log(limit=1)) == 1

    async def test_finds_by_unambiguous_prefix(self, memory: Memory) -> None:
        for last in ("1", "2"):
            await memory.write(replace(ANNEALING, id=RecordId("ab" * 15 + "0" + last)))
        assert (await memory.get("ab" * 15 + "01")).id.endswith("01")
        for missing in ("ab", "ff", "", "%", "_"):
            with pytest.raises(KeyError):
                await memory.get(missing)

    async def test_keeps_no_control_characters_and_caps_texts(self, memory: Memory) -> None:
        text = "red \x1b[31malert\x1b[0m \u202eevil\x00\r\nnext\U000e0041"
        await memory.write(make_record("\x1b]0;owned\x07title\nline", text + "x" * 100_000))
        (kept,) = await memory.records()
        assert kept.title == "title line"
        assert kept.text.startswith("red alert evil\nnextx")
        assert len(kept.text) < 20_000

    @pytest.mark.parametrize(
        "change",
        [{"id": ""}, {"id": "../etc"}, {"score": float("nan")}, {"data": {"x": float("inf")}}],
    )
    async def test_refuses_what_it_cannot_keep(
        self, memory: Memory, change: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=r"."):
            await memory.write(replace(ANNEALING, **change))
        assert await memory.records() == []

    async def test_hostile_names_are_data(self, memory: Memory) -> None:
        name = "x'; DROP TABLE records; --"
        record = make_record("t", "annealing", task=name, run='run" OR 1', agent="a]['")
        await memory.write(record)
        query = make_query("annealing", task=name, run='run" OR 1')
        assert [each.record for each in await memory.recall(query)] == [record]
        assert await memory.recall(make_query("annealing", task="packing")) == []

    async def test_stats_are_plain_json(self, memory: Memory) -> None:
        import json

        await memory.write(ANNEALING)
        stats = json.loads(json.dumps(await memory.stats(), allow_nan=False))
        assert stats["records"] == 1
        assert stats["kinds"] == {"note": 1}

    async def test_can_be_closed_twice(self, opener: Opener) -> None:
        memory = await opener("task")
        await memory.close()
        await memory.close()
