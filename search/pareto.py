"""Several objectives: the score and metrics beside it, and the attempts that nothing dominates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.attempt import Direction, Verdict
from harness.ids import AttemptId

CONSIDERED = 16
"""Members whose contributions are computed: the work grows with a power of their number."""
MARGIN = 0.1
"""How far behind the worst of the front the reference point lies, as a share of its range."""

Point = tuple[float, ...]
"""A value for each objective; higher is better in all of them."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric of the judge's; `weight` against the score's weight of 1."""

    metric: str
    direction: Direction
    weight: float = 1.0


def point_of(
    verdict: Verdict | None, direction: Direction, objectives: Sequence[Objective]
) -> Point | None:
    """Score and metrics of a verdict; None when it lacks one of them."""
    if verdict is None or verdict.score is None:
        return None
    if any(each.metric not in verdict.metrics for each in objectives):
        return None
    values = (verdict.score, *(verdict.metrics[each.metric] for each in objectives))
    ways = (direction, *(each.direction for each in objectives))
    return tuple(v if way == "maximize" else -v for v, way in zip(values, ways, strict=True))


def covers(left: Point, right: Point) -> bool:
    """Whether `left` is at least as good as `right` in every objective."""
    return all(a >= b for a, b in zip(left, right, strict=True))


class ParetoFront:
    """The attempts that no other covers; of equals the earliest."""

    def __init__(self, direction: Direction, objectives: Sequence[Objective]) -> None:
        self._direction: Direction = direction
        self._objectives = objectives
        self._members: dict[AttemptId, Point] = {}

    @property
    def members(self) -> Mapping[AttemptId, Point]:
        """In the order in which they came."""
        return self._members

    def observe(self, attempt: AttemptId, verdict: Verdict | None) -> bool:
        """Add a finished attempt; whether it is on the front now."""
        point = point_of(verdict, self._direction, self._objectives)
        if point is None or any(covers(other, point) for other in self._members.values()):
            return False
        self._members = {a: p for a, p in self._members.items() if not covers(point, p)}
        self._members[attempt] = point
        return True

    def contributions(self) -> dict[AttemptId, float]:
        """What the front's hypervolume would lose without each member.

        Each objective is scaled to the front's range. Of a large front only members spread evenly
        along the score are considered.
        """
        ranked = sorted(self._members, key=lambda each: self._members[each])
        step = max(1.0, (len(ranked) - 1) / (CONSIDERED - 1))
        chosen = [ranked[round(i * step)] for i in range(min(CONSIDERED, len(ranked)))]
        scaled = _scaled([self._members[each] for each in chosen])
        whole = hypervolume(scaled)
        return {
            each: whole - hypervolume([*scaled[:i], *scaled[i + 1 :]])
            for i, each in enumerate(chosen)
        }


def _scaled(points: Sequence[Point]) -> list[Point]:
    axes = list(zip(*points, strict=True))
    lows = [min(axis) for axis in axes]
    spans = [(max(axis) - low) or 1.0 for axis, low in zip(axes, lows, strict=True)]
    return [
        tuple((v - low) / span + MARGIN for v, low, span in zip(point, lows, spans, strict=True))
        for point in points
    ]


def hypervolume(points: Sequence[Point]) -> float:
    """The volume between the origin and what the points cover, slice by slice; all above 0."""
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return max(point[0] for point in points)
    ordered = sorted(points, key=lambda point: -point[-1])
    floors = [*(point[-1] for point in ordered[1:]), 0.0]
    return sum(
        (point[-1] - floor) * hypervolume([each[:-1] for each in ordered[: i + 1]])
        for i, (point, floor) in enumerate(zip(ordered, floors, strict=True))
        if point[-1] > floor
    )
