"""Outcomes of searches: one table of them, and files of them to make it from."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.search.__main__ import OURS, Results, signs
from benchmarks.search.drive import Course
from benchmarks.search.packages.package import Outcome

from harness.errors import UserError

PAIRS = 20
"""The suite's test is an approximation for so many seeds or more; fewer get no sign."""


class Search(NamedTuple):
    """What was run: a package or a policy on the instance of a seed."""

    name: str
    family: str
    seed: int


Outcomes = Mapping[Search, Outcome]
Value = Callable[[Course], float]


def final(course: Course) -> float:
    return course.best[-1]


def area(course: Course) -> float:
    return course.area


def table(outcomes: Outcomes) -> str:
    """Means and standard deviations over seeds; `>`, `=` and `<` as in the suite's table."""
    names = list(dict.fromkeys(search.name for search in outcomes))
    families = list(dict.fromkeys(search.family for search in outcomes))
    columns = [(family, value) for family in families for value in (final, area)]
    compared = {value: _signs(outcomes, value) for value in (final, area)}
    head = [f"{family}: {value.__name__}" for family, value in columns]
    lines = [
        f"| search | {' | '.join(head)} | seeds | evaluated | proposed | CPU ms |",
        "|---" * (len(head) + 5) + "|",
    ]
    for name in names:
        cells = [
            f"{_spread(_values(outcomes, name, family, value))} "
            f"{compared[value].get((family, name), '')}".strip()
            for family, value in columns
        ]
        seeds = [str(len(_values(outcomes, name, family, final))) for family in families]
        # One number where it is the same for all families.
        cells += [", ".join(seeds if len(set(seeds)) > 1 else seeds[:1]), *_effort(outcomes, name)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _values(outcomes: Outcomes, name: str, family: str, value: Value) -> list[float]:
    return [
        value(found.course)
        for search, found in outcomes.items()
        if (search.name, search.family) == (name, family)
    ]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "not run"
    deviation = f" ±{statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{deviation}"


def _effort(outcomes: Outcomes, name: str) -> list[str]:
    """Evaluations and proposals of a search, CPU time of an evaluation."""
    mine = [found for search, found in outcomes.items() if search.name == name]
    evaluated = statistics.fmean(found.evaluations for found in mine)
    proposed = statistics.fmean(found.proposals for found in mine)
    cpu_ms = 1000.0 * statistics.fmean(found.cpu_s for found in mine) / evaluated
    return [f"{evaluated:.0f}", f"{proposed:.0f}", f"{cpu_ms:.2f}"]


def _signs(outcomes: Outcomes, value: Value) -> dict[tuple[str, str], str]:
    courses: dict[str, dict[str, list[Course]]] = {}
    for search, found in sorted(outcomes.items(), key=lambda each: each[0].seed):
        by_name = courses.setdefault(search.family, {})
        by_name.setdefault(search.name, []).append(found.course)
    enough = {
        family: {name: each for name, each in by_name.items() if len(each) >= PAIRS}
        for family, by_name in courses.items()
        if len(by_name.get(OURS, ())) >= PAIRS
    }
    return signs(Results(enough), value)


def save(outcomes: Outcomes, path: Path) -> None:
    document = [
        [*search, found.evaluations, found.proposals, found.cpu_s, found.course.best]
        for search, found in outcomes.items()
    ]
    path.write_text(json.dumps(document), encoding="utf-8")


def load(paths: Sequence[Path]) -> dict[Search, Outcome]:
    """What was saved, of several files together.

    Raises:
        UserError: Without a file; when two have the same search, or other numbers of evaluations.
    """
    outcomes: dict[Search, Outcome] = {}
    for path in paths:
        if not path.is_file():
            raise _unusable(f"{path} is no file")
        for name, family, seed, *effort, best in json.loads(path.read_bytes()):
            search = Search(name, family, seed)
            if search in outcomes:
                raise _unusable(f"{path} has {search} a second time")
            outcomes[search] = Outcome(Course(best, []), *effort)
    if len({len(found.course.best) for found in outcomes.values()}) != 1:
        raise _unusable("the files have searches of different lengths")
    return outcomes


def _unusable(wrong: str) -> UserError:
    return UserError(
        wrong,
        expected="files written with --save, each search once, with equal --evaluations",
        action="name others after --table",
    )
