"""What is said to the agent between its turns: interventions, and what became of its things."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.agents.base import AgentContext
from harness.agents.conversation import Message, Operation, append, user
from harness.agents.heartbeats.base import Intervention
from harness.agents.tools.bench import Bench
from harness.ids import AttemptId


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Interventions and notices as operations, and what the interventions ask for."""

    operations: list[Operation] = field(default_factory=list[Operation])
    interventions: Sequence[Intervention] = ()
    records: Sequence[Mapping[str, Any]] = ()
    """Of the transcript, one a message."""

    @property
    def pivot(self) -> bool:
        """Whether the open directive ends at once."""
        return any(each.action == "pivot" for each in self.interventions)

    @property
    def restart(self) -> bool:
        """Whether the conversation is to be forgotten but for the summary."""
        return any(each.action == "restart" for each in self.interventions)

    def names(self) -> str:
        """What came, for the answer of a tool that was cut short."""
        rules = ", ".join(f"`{each.rule}`" for each in self.interventions)
        return f"an urgent message ({rules})" if rules else "an urgent message"


class News:
    """Collects what there is to say. Belongs to one agent's loop."""

    def __init__(self, context: AgentContext, bench: Bench) -> None:
        self._context = context
        self._bench = bench
        self._waiting: list[Message] = []
        self._announced: set[str] = set()

    def restarted(self, jobs: Sequence[str]) -> None:
        """After a resume: background jobs that were running are gone."""
        if jobs:
            text = (
                "[restart] The harness was restarted and background jobs are gone: "
                f"{', '.join(jobs)}. Start them again if you need them."
            )
            self._waiting.append(user(text, "notice"))

    def ended_with_directive(self, jobs: Sequence[str]) -> Message:
        """What is said of jobs that were stopped because a new directive begins."""
        text = f"[jobs] Stopped with the last directive: {', '.join(jobs)}."
        message = user(text, "notice")
        self._context.log({"type": "user", "message": message})
        return message

    def notices(self) -> list[Message]:
        """What became of background jobs and of submissions; each is told once."""
        notices, self._waiting = self._waiting, []
        for job in self._bench.jobs.news():
            notices.append(user(f"[jobs] {job.name}: {job.state()}.", "notice"))
        graph = self._context.graph
        for each in self._bench.pending:
            identifier = AttemptId(each.attempt)
            if each.attempt in self._announced or identifier not in graph:
                continue
            if graph[identifier].verdict is not None:
                self._announced.add(each.attempt)
                notices.append(user(f"[results] attempt {each.attempt} is judged.", "notice"))
        return notices

    def put_back(self, notices: Sequence[Message]) -> None:
        """They could not be delivered."""
        self._waiting = [*notices, *self._waiting]

    def take(self) -> Deliveries:
        """Everything that waits, to be appended now; written to the transcript."""
        deliveries = self.collect()
        self.tell(deliveries)
        return deliveries

    def collect(self) -> Deliveries:
        """Everything that waits, to be appended now and told to `tell`."""
        records: list[dict[str, Any]] = [
            {"type": "user", "message": message} for message in self.notices()
        ]
        interventions = self._context.interventions()
        records += [
            {
                "type": "user",
                "message": user(each.text, "heartbeat"),
                "rule": each.rule,
                "reason": each.reason,
                "action": each.action,
                "urgent": each.urgent,
            }
            for each in interventions
        ]
        messages = [record["message"] for record in records]
        return Deliveries([append(*messages)] if messages else [], interventions, records)

    def tell(self, deliveries: Deliveries) -> None:
        """Write them to the transcript."""
        for record in deliveries.records:
            self._context.log(record)
