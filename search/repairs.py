"""Failures worth a repair: the newest, while their line has not been repaired too often."""

from collections import deque
from collections.abc import Collection

from harness.attempt import NOT_CHARGED, Attempt, Operator
from harness.ids import AttemptId

REMEMBERED = 16
"""Failures remembered; the newest."""


class Repairs:
    """Follows failures and their repairs; `depth` repairs in a row end a line."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._broken: deque[AttemptId] = deque(maxlen=REMEMBERED)
        self._repaired: dict[AttemptId, int] = {}
        """Repairs in a row that led to each failure."""

    def observe(self, attempt: Attempt) -> None:
        """Learn of a finished attempt: a failure, or the repair of one."""
        if attempt.status in NOT_CHARGED or not attempt.parents:
            return
        base, repairs = attempt.parents[0], 0
        if attempt.operator is Operator.DEBUG:
            repairs = self._repaired.get(base, 0) + 1
            if base in self._broken:
                self._broken.remove(base)
        if attempt.score is None and repairs < self._depth:
            self._repaired[attempt.id] = repairs
            self._broken.append(attempt.id)

    def open(self, taken: Collection[AttemptId]) -> list[AttemptId]:
        """Failures that nobody repairs yet, newest first."""
        return [each for each in reversed(self._broken) if each not in taken]
