"""The graph of attempts: parent edges and reference edges, rebuilt from the store at any time."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from harness.attempt import Attempt, Direction, better, verdict_order
from harness.ids import AttemptId


class AttemptGraph:
    """Attempts by id, with children along parent edges and citations along reference edges.

    `put` adds an attempt or replaces its earlier state (queued → scored). Not safe for threads: it
    belongs to the event loop.
    """

    def __init__(self, direction: Direction, attempts: Sequence[Attempt] = ()) -> None:
        self.direction: Direction = direction
        self._attempts: dict[AttemptId, Attempt] = {}
        self._children: dict[AttemptId, list[AttemptId]] = {}
        self._citations: dict[AttemptId, list[AttemptId]] = {}
        self._best: Attempt | None = None
        for attempt in attempts:
            self.put(attempt)

    def put(self, attempt: Attempt) -> None:
        """Add `attempt`, or replace its earlier state.

        Raises:
            KeyError: When a parent or a reference is unknown.
        """
        if attempt.id not in self._attempts:
            for other in (*attempt.parents, *attempt.references):
                if other not in self._attempts:
                    raise KeyError(f"attempt {attempt.id} refers to the unknown attempt {other}")
            for parent in attempt.parents:
                self._children.setdefault(parent, []).append(attempt.id)
            for reference in attempt.references:
                self._citations.setdefault(reference, []).append(attempt.id)
        self._attempts[attempt.id] = attempt
        if attempt.score is not None and self._leads(attempt, attempt.score):
            self._best = attempt

    def _leads(self, attempt: Attempt, score: float) -> bool:
        """Whether it is the best now. A graph that is rebuilt meets verdicts in another order."""
        best = self._best
        if best is None or best.score is None:
            return True
        if score == best.score:
            return verdict_order(attempt) < verdict_order(best)
        return better(self.direction, score, best.score)

    @property
    def best(self) -> Attempt | None:
        """The attempt with the best score; the earliest verdict among equals."""
        return self._best

    @property
    def attempts(self) -> Mapping[AttemptId, Attempt]:
        """All attempts in order of submission."""
        return self._attempts

    def newest(self, count: int) -> tuple[Attempt, ...]:
        """The last attempts, newest first."""
        return tuple(islice(reversed(self._attempts.values()), count))

    def __getitem__(self, attempt: AttemptId) -> Attempt:
        return self._attempts[attempt]

    def __contains__(self, attempt: object) -> bool:
        return attempt in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._attempts.values())

    def children(self, attempt: AttemptId) -> Sequence[AttemptId]:
        """Attempts that expand `attempt`."""
        return self._children.get(attempt, ())

    def citations(self, attempt: AttemptId) -> Sequence[AttemptId]:
        """Attempts that refer to `attempt`."""
        return self._citations.get(attempt, ())

    def lineage(self, attempt: AttemptId) -> list[AttemptId]:
        """From `attempt` along first parents up to a root."""
        line = [attempt]
        while parents := self._attempts[line[-1]].parents:
            line.append(parents[0])
        return line

    def branch(self, attempt: AttemptId) -> set[AttemptId]:
        """The attempts of its branch: its ancestor right below the root, and all that expand that.

        Of a root, only the root itself.
        """
        line = self.lineage(attempt)
        if len(line) == 1:
            return {attempt}
        found, pending = set[AttemptId](), [line[-2]]
        while pending:
            found.add(pending[-1])
            pending += [c for c in self.children(pending.pop()) if c not in found]
        return found
