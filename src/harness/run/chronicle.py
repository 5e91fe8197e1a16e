"""The run's dealings with the shared memory, and its own log of them.

Every record an agent is shown is logged in `run.db` with its text, so that what agents knew can be
told when the shared memory is gone.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.attempt import Attempt, Operator, Status, better
from harness.ids import SEED_AGENT, AgentId, AttemptId, RecordId
from harness.memory.base import (
    Memory,
    MemoryRecord,
    Recalled,
    RecallQuery,
    RecordKind,
    ShownRecord,
)
from harness.run.core import Core
from harness.run.distiller import AUTHOR, Insight, insights_of
from harness.run.store import MemoryEntry

FEEDBACK_CHARACTERS = 600
CITED_CHARACTERS = 8
"""An id's first characters that name a record: what agents are shown of it in tables."""


UNFIT_ENDS = frozenset({"aborted", "refused", "seed", "error", "agents_failed"})
"""Ends after which no model is asked what was learnt."""


class Chronicle:
    """Writes attempts and notes, recalls, credits."""

    def __init__(self, core: Core, memory: Memory) -> None:
        self._core = core
        self._memory = memory
        self._shown: dict[int, tuple[RecordId, ...]] = {}

    async def recall_for(
        self, agent: AgentId, number: int, operator: Operator, base: Attempt
    ) -> list[Recalled]:
        """What bears on a directive that is being opened."""
        limit = self._core.config.memory.limit
        if limit == 0:
            return []
        text = directive_query(operator, base, self._core.task.file.description)
        query = self._query(agent, text, purpose=operator.value, limit=limit)
        return await self._recall(query, number)

    async def recall(
        self,
        agent: AgentId,
        text: str,
        *,
        purpose: str,
        limit: int,
        directive: int | None,
        kinds: Sequence[RecordKind] = (),
    ) -> list[Recalled]:
        """What an agent asks for."""
        query = replace(self._query(agent, text, purpose=purpose, limit=limit), kinds=kinds)
        return await self._recall(query, directive)

    async def again(self, directive: int, records: tuple[str, ...]) -> list[Recalled]:
        """The records shown with a directive before a resume, without logging them anew."""
        self._shown[directive] = tuple(RecordId(record) for record in records)
        found: list[Recalled] = []
        for rank, record in enumerate(records, start=1):
            try:
                found.append(Recalled(await self._memory.get(record), rank, 0.0))
            except KeyError:
                continue  # the shared memory was wiped or moved since
        return found

    async def note(self, agent: AgentId, title: str, text: str, *, key: str) -> str:
        """An agent's note."""
        return await self._share(RecordKind.NOTE, agent, title, text, {}, key)

    async def skill(
        self, agent: AgentId, title: str, text: str, data: Mapping[str, Any], *, key: str
    ) -> str:
        """Reusable files that an agent shares, with the command that checks them."""
        return await self._share(RecordKind.SKILL, agent, title, text, data, key)

    async def _share(
        self,
        kind: RecordKind,
        agent: AgentId,
        title: str,
        text: str,
        data: Mapping[str, Any],
        key: str,
    ) -> str:
        record = MemoryRecord(
            id=self._record_id(f"{kind.value}:{agent}:{key}"),
            kind=kind,
            title=title,
            text=text,
            task=self._core.task.name,
            run=self._core.folder.id,
            agent=agent,
            created_at=self._core.clock.now(),
            data=data,
            audience=self._core.config.memory.write,
        )
        await self._memory.write(record)
        self._core.store.memory_log(replace(_written(record, None), once=True))
        return record.id

    async def loaded(self, agent: AgentId, record: str, directive: int | None) -> MemoryRecord:
        """A record by id or the beginning of one, which the agent makes use of: a citation."""
        found = await self._memory.get(record)
        await self._memory.cite(self._core.folder.id, agent, [found.id])
        shown = ShownRecord(found.id, 1, 0.0, found.text)
        self._core.store.memory_log(MemoryEntry("cite", agent, "", (shown,), directive=directive))
        if directive is not None:
            self._shown[directive] = (*self._shown.get(directive, ()), found.id)
        return found

    async def finished(self, attempt: Attempt) -> None:
        """Record a finished attempt and credit what was shown before it."""
        if attempt.verdict is None or not attempt.verdict.charged:
            return
        record = self._attempt_record(attempt)
        await self._memory.write(record)
        entries = [_written(record, attempt.id)]
        shown = self._shown_before(attempt)
        if shown:
            await self._memory.credit(
                self._core.folder.id, attempt.agent, attempt.id, record.outcome, shown
            )
            ranked = tuple(ShownRecord(each, rank, 0.0) for rank, each in enumerate(shown, start=1))
            entries += await self._cited(attempt, shown)
            entries.append(
                MemoryEntry(
                    "credit", attempt.agent, record.outcome, ranked, attempt.id, attempt.directive
                )
            )
        self._core.store.memory_log(*entries)

    async def _cited(self, attempt: Attempt, shown: tuple[RecordId, ...]) -> list[MemoryEntry]:
        """Records that the attempt's title or detail names by the first characters of their ids."""
        cited = cited_by(attempt, shown)
        if not cited:
            return []
        run = self._core.folder.id
        await self._memory.cite(run, attempt.agent, cited, attempt=attempt.id)
        ranked = tuple(ShownRecord(each, rank, 0.0) for rank, each in enumerate(cited, start=1))
        return [MemoryEntry("cite", attempt.agent, "", ranked, attempt.id, attempt.directive)]

    def _shown_before(self, attempt: Attempt) -> tuple[RecordId, ...]:
        number = attempt.directive or 0
        if number not in self._shown:  # given before a resume
            records = self._core.store.directives.recalled(number)
            self._shown[number] = tuple(RecordId(record) for record in records)
        return self._shown[number]

    async def distil(self) -> None:
        """Sum up what was learnt of the task, if the configuration wants it."""
        config = self._core.config.memory
        if not config.distil:
            return
        if config.distil_by_model and self._core.ending.reason not in UNFIT_ENDS:
            for insight in await insights_of(self._core):
                await self._learn(insight)
        await self._memory.consolidate(self._core.task.name)

    async def _learn(self, insight: Insight) -> None:
        evidence = [self._record_id(f"attempt:{attempt}") for attempt in insight.evidence]
        attempts = ", ".join(insight.evidence)
        await self._share(
            RecordKind.INSIGHT,
            AUTHOR,
            insight.title,
            f"{insight.text}\n(from attempts {attempts})",
            {"evidence": evidence, "model": insight.model},
            key=f"{insight.title}\n{insight.text}",
        )

    def _query(self, agent: AgentId, text: str, *, purpose: str, limit: int) -> RecallQuery:
        return RecallQuery(
            text=text,
            purpose=purpose,
            task=self._core.task.name,
            run=self._core.folder.id,
            agent=agent,
            limit=limit,
        )

    async def _recall(self, query: RecallQuery, directive: int | None) -> list[Recalled]:
        recalled = await self._memory.recall(query)
        shown = tuple(
            ShownRecord(each.record.id, each.rank, each.score, each.record.text)
            for each in recalled
        )
        self._core.store.memory_log(
            MemoryEntry("recall", query.agent, query.text, shown, directive=directive)
        )
        if directive is not None:
            earlier = self._shown.get(directive, ())
            self._shown[directive] = (*earlier, *(each.id for each in shown))
        return recalled

    def _attempt_record(self, attempt: Attempt) -> MemoryRecord:
        parent = self._core.graph[attempt.parents[0]] if attempt.parents else None
        outcome = self.outcome(attempt, parent)
        return MemoryRecord(
            id=self._record_id(f"attempt:{attempt.id}"),
            kind=RecordKind.ATTEMPT,
            title=attempt.title,
            text=attempt_text(attempt, parent, outcome),
            task=self._core.task.name,
            run=self._core.folder.id,
            agent=attempt.agent,
            created_at=attempt.evaluated_at or attempt.created_at,
            attempt=attempt.id,
            score=attempt.score,
            outcome=outcome,
            data={
                "operator": attempt.operator.value,
                "detail": dict(attempt.detail),
                "before": parent.score if parent is not None else None,
            },
            audience=self._core.config.memory.write,
        )

    def outcome(self, attempt: Attempt, parent: Attempt | None) -> str:
        """`improved`, `worse` or `equal` against the parent; the status without a score."""
        if attempt.score is None:
            return attempt.status.value
        if parent is None or parent.score is None:
            return "improved" if attempt.agent != SEED_AGENT else "equal"
        if attempt.score == parent.score:
            return "equal"
        improved = better(self._core.task.direction, attempt.score, parent.score)
        return "improved" if improved else "worse"

    def _record_id(self, name: str) -> RecordId:
        return RecordId(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._core.folder.id}:{name}").hex)


def cited_by(attempt: Attempt, shown: Sequence[RecordId]) -> list[RecordId]:
    """Those of the shown records that the attempt's title or detail names, each once."""
    said = f"{attempt.title} {dict(attempt.detail)}"
    return [each for each in dict.fromkeys(shown) if each[:CITED_CHARACTERS] in said]


def directive_query(operator: Operator, base: Attempt, description: str) -> str:
    """What the memory is asked when a directive is given.

    A draft begins with the task alone, debugging with the error; all others go on from the base.
    """
    feedback = base.verdict.feedback if base.verdict is not None else ""
    if operator is Operator.DRAFT:
        return description[:FEEDBACK_CHARACTERS]
    if operator is Operator.DEBUG:
        return f"{base.title}\n{feedback[:FEEDBACK_CHARACTERS]}"
    return f"{operator.value} {base.title}\n{feedback[:200]}"


def attempt_text(attempt: Attempt, parent: Attempt | None, outcome: str) -> str:
    """An attempt in words, for recall and for people."""
    lines = [f"{attempt.operator.value}: {attempt.title}"]
    if attempt.status is Status.SCORED:
        before = f" from {parent.score:.6g}" if parent and parent.score is not None else ""
        lines.append(f"{outcome}{before} to {attempt.score:.6g}")
    else:
        lines.append(f"ended as {attempt.status.value}")
    feedback = attempt.verdict.feedback.strip() if attempt.verdict is not None else ""
    if feedback:
        lines.append(feedback[:FEEDBACK_CHARACTERS])
    return "\n".join(lines)


def _written(record: MemoryRecord, attempt: AttemptId | None) -> MemoryEntry:
    shown = ShownRecord(record.id, 1, 0.0, record.text)
    return MemoryEntry("write", record.agent, record.title, (shown,), attempt)
