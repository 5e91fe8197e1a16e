"""MLE-bench's medal rule."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Scores that a medal takes on one leaderboard."""

    gold: float
    silver: float
    bronze: float
    median: float
    lower_is_better: bool


@dataclass(frozen=True)
class Ranking:
    """What a score is worth; all False without a score. Medals exclude one another."""

    gold: bool = False
    silver: bool = False
    bronze: bool = False
    above_median: bool = False

    @property
    def any_medal(self) -> bool:
        return self.gold or self.silver or self.bronze

    @property
    def medal(self) -> str:
        """`gold`, `silver`, `bronze` or `none`."""
        for name in ("gold", "silver", "bronze"):
            if getattr(self, name):
                return name
        return "none"


def medal_positions(teams: int) -> tuple[int, int, int]:
    """Places (from 1) of the last gold, silver and bronze medal among `teams`.

    Raises:
        ValueError: There are no teams.
    """
    if teams < 1:
        raise ValueError("a leaderboard without teams")
    tenth, fifth, two_fifths = (max(1, int(share * teams)) for share in (0.1, 0.2, 0.4))
    if teams < 100:
        return tenth, fifth, two_fifths
    if teams < 250:
        return 10, fifth, two_fifths
    gold = 10 + int(0.002 * teams)
    if teams < 1000:
        return gold, 50, 100
    return gold, max(1, int(0.05 * teams)), max(1, int(0.1 * teams))


def thresholds(scores: Sequence[float]) -> Thresholds:
    """Thresholds of a leaderboard: its scores in the order of its file, best first.

    Raises:
        ValueError: It is empty.
    """
    gold, silver, bronze = medal_positions(len(scores))
    return Thresholds(
        gold=scores[gold - 1],
        silver=scores[silver - 1],
        bronze=scores[bronze - 1],
        median=statistics.median(scores),
        lower_is_better=scores[0] < scores[-1],
    )


def rank(score: float | None, limits: Thresholds) -> Ranking:
    """Medal of a score: at least as good as a threshold; strictly better than the median."""
    if score is None or score != score:  # NaN is a valid submission without a medal
        return Ranking()

    def reaches(threshold: float) -> bool:
        return score <= threshold if limits.lower_is_better else score >= threshold

    gold = reaches(limits.gold)
    silver = not gold and reaches(limits.silver)
    bronze = not gold and not silver and reaches(limits.bronze)
    better = score < limits.median if limits.lower_is_better else score > limits.median
    return Ranking(gold, silver, bronze, better)
