"""Rewards from scores of any scale, propagated through the graph of attempts."""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from harness.attempt import NOT_CHARGED, Attempt, Direction
from harness.ids import AttemptId

PARENT_DISCOUNT = 0.6
"""What a reward is worth one generation further up."""
REFERENCE_DISCOUNT = 0.3
"""What a reward is worth to an attempt that was only referred to."""
NEGLIGIBLE = 0.02
"""Shares below this are not propagated, which bounds the work for an attempt of any depth."""


@dataclass(slots=True)
class Credit:
    """Rewards that reached an attempt: the sum of their shares, and of share times reward."""

    weight: float = 0.0
    total: float = 0.0


class Rewards:
    """Rank-normalised rewards in [0, 1], back-propagated as attempts finish.

    The reward of a scored attempt is its mid-rank among all scores so far: the share of scores it
    beats, ties counting half. It needs no scale, no outlier can distort it, and it serves both
    directions. A failure gets 0, which no score gets. The reward goes to the attempt in full, to
    its ancestors with `PARENT_DISCOUNT` per generation, and along each reference edge with
    `REFERENCE_DISCOUNT` (and on from there in the same way). Ends that aren't the candidate's doing
    are left out.
    """

    def __init__(self, direction: Direction) -> None:
        self._sign = 1.0 if direction == "maximize" else -1.0
        self._scores: list[float] = []
        self._edges: dict[AttemptId, tuple[tuple[AttemptId, float], ...]] = {}
        self._credits: dict[AttemptId, Credit] = {}

    def __len__(self) -> int:
        return len(self._scores)

    def rank(self, score: float) -> float:
        """Share of the scores so far that `score` beats, ties counting half; in [0, 1]."""
        if not self._scores:
            return 0.5
        value = self._sign * score
        worse = bisect_left(self._scores, value)
        ties = bisect_right(self._scores, value) - worse
        return (worse + 0.5 * ties) / len(self._scores)

    def observe(self, attempt: Attempt) -> float | None:
        """Add a finished attempt; its reward, or None when it was not the candidate's doing."""
        if attempt.status in NOT_CHARGED:
            return None
        self._edges[attempt.id] = (
            *((parent, PARENT_DISCOUNT) for parent in attempt.parents),
            *((reference, REFERENCE_DISCOUNT) for reference in attempt.references),
        )
        score = attempt.score
        reward = 0.0
        if score is not None:
            insort(self._scores, self._sign * score)
            reward = self.rank(score)
        self._propagate(attempt.id, reward)
        return reward

    def _propagate(self, start: AttemptId, reward: float) -> None:
        """Breadth first, each attempt once: by its shortest way, hence its largest share."""
        seen = {start}
        queue = deque([(start, 1.0)])
        while queue:
            attempt, share = queue.popleft()
            credit = self._credits.setdefault(attempt, Credit())
            credit.weight += share
            credit.total += share * reward
            for other, discount in self._edges.get(attempt, ()):
                if other not in seen and share * discount >= NEGLIGIBLE:
                    seen.add(other)
                    queue.append((other, share * discount))

    def weight(self, attempt: AttemptId) -> float:
        """Sum of the shares that reached the attempt: how much it has been explored."""
        credit = self._credits.get(attempt)
        return credit.weight if credit else 0.0

    def value(self, attempt: AttemptId, in_flight: Collection[AttemptId] = ()) -> float:
        """Mean reward of the attempt and what came of it, in [0, 1]; 0.5 while nothing is known.

        Each expansion that is under way counts as a failure until its verdict (a virtual loss), so
        that agents which ask at the same time do not all get the same base.
        """
        credit = self._credits.get(attempt)
        if credit is None:
            return 0.5
        pending = sum(1 for base in in_flight if base == attempt) * PARENT_DISCOUNT
        return credit.total / (credit.weight + pending)
