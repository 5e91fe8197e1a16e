"""The best scores so far, in order, with the attempts that have them: bounded in size."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Sequence

from harness.attempt import Attempt, Direction, Status
from harness.ids import AttemptId

MEMBERS = 8
"""Attempts kept per score. Equal scores give way to newer ones: a walk across a plateau goes on."""


class Front:
    """At most `capacity` distinct scores, best first; each with its newest attempts."""

    def __init__(self, direction: Direction, capacity: int) -> None:
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._capacity = capacity
        self._costs: list[float] = []
        self._members: dict[float, list[AttemptId]] = {}

    def __len__(self) -> int:
        return len(self._costs)

    def __iter__(self) -> Iterator[AttemptId]:
        """All members, best score first, newest first among equals."""
        for cost in self._costs:
            yield from reversed(self._members[cost])

    def observe(self, attempt: Attempt) -> bool:
        """Add a scored attempt (others are ignored); whether it is strictly the best so far."""
        if attempt.status is not Status.SCORED or attempt.score is None:
            return False
        cost = self._sign * attempt.score
        members = self._members.get(cost)
        if members is not None:
            members.append(attempt.id)
            del members[:-MEMBERS]
            return False
        insort(self._costs, cost)
        self._members[cost] = [attempt.id]
        if len(self._costs) > self._capacity:
            del self._members[self._costs.pop()]
        return self._costs[0] == cost

    def groups(self, avoid: Collection[AttemptId] = ()) -> list[Sequence[AttemptId]]:
        """Attempts by distinct score, best first, oldest first within; without those to `avoid`.

        When everything is to be avoided, nothing is: an agent always gets a base.
        """
        groups: list[Sequence[AttemptId]] = [self._members[cost] for cost in self._costs]
        if not avoid:
            return groups
        kept = [[a for a in group if a not in avoid] for group in groups]
        return [group for group in kept if group] or groups

    def position(self, attempt: Attempt) -> int | None:
        """Place of the attempt's score, 0 for the best; None when it has left the front."""
        if attempt.score is None:
            return None
        cost = self._sign * attempt.score
        place = bisect_left(self._costs, cost)
        return place if place < len(self._costs) and self._costs[place] == cost else None
