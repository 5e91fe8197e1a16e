"""Random changes of literals and tables of literals: where, how, and how far.

An edit's name is `<transform>_<scope>`. Scopes: one cell, a few cells, a row, a column, a window of
a column, the cells of a column that are equal, the whole table, one number outside of any table.
Steps are relative: to the value itself when scaling, otherwise to the spread of its column.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from harness.agents.adaptation import Experience, Key
from harness.agents.mutation import Model, Number, Table, parse, splice

Program = Mapping[str, Model]
"""Models of the files by path."""
FEW = 4
"""Most cells that a change of a few cells touches."""


@dataclass(frozen=True, slots=True)
class Change:
    """Changed files, and what the attempt's record says of the change."""

    files: Mapping[str, Model]
    detail: Mapping[str, object]
    title: str


@dataclass(frozen=True, slots=True)
class Place:
    """A table, or the numbers of a file that are in none, as columns of number indices."""

    path: str
    name: str
    model: Model
    columns: Mapping[int, Sequence[int]]
    rows: Sequence[Sequence[int]]
    table: Table | None

    @property
    def symbolic(self) -> bool:
        """Whether its rows hold text too: instructions rather than quantities."""
        if self.table is None or not self.table.rows:
            return False
        start, end = self.table.rows[0]
        return any(quote in self.model.text[start:end] for quote in (b'"', b"'"))

    @property
    def cells(self) -> int:
        return sum(len(column) for column in self.columns.values())


def places(program: Program) -> list[Place]:
    """Everything with numbers in it, by path and position."""
    found: list[Place] = []
    for path, model in sorted(program.items()):
        for index, table in enumerate(model.tables):
            columns, rows = _grid(table)
            found.append(Place(path, f"{path}#{index}", model, columns, rows, table))
        if model.scalars:
            alone = {i: [scalar] for i, scalar in enumerate(model.scalars)}
            found.append(Place(path, f"{path}#scalars", model, alone, (), None))
    return found


def _grid(table: Table) -> tuple[dict[int, list[int]], list[list[int]]]:
    """Columns by the innermost place and rows by the outermost; a flat table is one column."""
    flat = all(len(path) == 1 for path in table.paths)
    columns: dict[int, list[int]] = {}
    rows: dict[int, list[int]] = {}
    for cell, path in zip(table.cells, table.paths, strict=True):
        columns.setdefault(0 if flat else path[-1], []).append(cell)
        rows.setdefault(path[0], []).append(cell)
    return columns, list(rows.values())


# Scopes: the indices to change, all of one column except for rows and tables

Scope = Callable[[Random, Place, Sequence[int]], Sequence[int]]


def _cell(rng: Random, place: Place, column: Sequence[int]) -> Sequence[int]:
    return [rng.choice(column)]


def _few(rng: Random, place: Place, column: Sequence[int]) -> Sequence[int]:
    return sorted(rng.sample(column, min(len(column), rng.randint(2, FEW))))


def _window(rng: Random, place: Place, column: Sequence[int]) -> Sequence[int]:
    """A contiguous part, its length log-uniform."""
    length = max(2, round(len(column) ** rng.random()))
    start = rng.randrange(max(1, len(column) - length + 1))
    return column[start : start + length]


def _equals(rng: Random, place: Place, column: Sequence[int]) -> Sequence[int]:
    value = place.model.numbers[rng.choice(column)].value
    return [i for i in column if place.model.numbers[i].value == value]


def _column(rng: Random, place: Place, column: Sequence[int]) -> Sequence[int]:
    return column


def _row(rng: Random, place: Place, column: Sequence[int]) -> Sequence[int]:
    return rng.choice(place.rows)


def _table(rng: Random, place: Place, column: Sequence[int]) -> Sequence[int]:
    return [i for cells in place.columns.values() for i in cells]


# Transforms: new values; `step` is signed and relative, `spread` that of each number's column

Transform = Callable[[Random, Sequence[float], Sequence[float], float], Sequence[float]]


def _scale(
    rng: Random, values: Sequence[float], spreads: Sequence[float], step: float
) -> Sequence[float]:
    factor = 1.0 + step if step > 0 else 1.0 / (1.0 - step)
    return [v * factor for v in values]


def _shift(
    rng: Random, values: Sequence[float], spreads: Sequence[float], step: float
) -> Sequence[float]:
    return [v + step * s for v, s in zip(values, spreads, strict=True)]


def _jitter(
    rng: Random, values: Sequence[float], spreads: Sequence[float], step: float
) -> Sequence[float]:
    return [v + step * s * rng.gauss(0.0, 1.0) for v, s in zip(values, spreads, strict=True)]


def _transfer(
    rng: Random, values: Sequence[float], spreads: Sequence[float], step: float
) -> Sequence[float]:
    """Independent changes that leave the sum as it was."""
    noise = [rng.gauss(0.0, 1.0) for _ in values]
    centre = fmean(noise)
    return [v + step * s * (n - centre) for v, s, n in zip(values, spreads, noise, strict=True)]


def _permute(
    rng: Random, values: Sequence[float], spreads: Sequence[float], step: float
) -> Sequence[float]:
    return rng.sample(values, len(values))


def _level(
    rng: Random, values: Sequence[float], spreads: Sequence[float], step: float
) -> Sequence[float]:
    """Towards the mean of the numbers, or away from it."""
    centre = fmean(values)
    return [v + step * (centre - v) for v in values]


@dataclass(frozen=True, slots=True)
class Edit:
    """A transform on a scope. `step` is where its step size starts; None when it has none."""

    transform: Transform
    scope: Scope
    prior: float
    step: float | None = 0.1
    rows: int = 1
    """Rows (or cells of a column) below which it makes no sense."""


EDITS: Mapping[str, Edit] = {
    "scale_cell": Edit(_scale, _cell, 1.0),
    "scale_few": Edit(_scale, _few, 0.5, rows=3),
    "scale_window": Edit(_scale, _window, 1.0, rows=4),
    "scale_equals": Edit(_scale, _equals, 0.7, rows=3),
    "scale_column": Edit(_scale, _column, 120.0, step=0.2, rows=2),
    "scale_table": Edit(_scale, _table, 1.0, rows=2),
    "shift_column": Edit(_shift, _column, 0.4, rows=2),
    "shift_window": Edit(_shift, _window, 0.5, rows=4),
    "jitter_cell": Edit(_jitter, _cell, 1.0),
    "jitter_few": Edit(_jitter, _few, 0.5, rows=3),
    "jitter_row": Edit(_jitter, _row, 1.0, rows=2),
    "jitter_window": Edit(_jitter, _window, 0.5, rows=4),
    "jitter_column": Edit(_jitter, _column, 0.7, step=0.03, rows=2),
    "jitter_table": Edit(_jitter, _table, 0.7, step=0.03, rows=2),
    "transfer_few": Edit(_transfer, _few, 0.7, rows=2),
    "transfer_window": Edit(_transfer, _window, 0.5, rows=4),
    "transfer_column": Edit(_transfer, _column, 0.5, step=0.03, rows=4),
    "level_window": Edit(_level, _window, 0.4, step=0.3, rows=4),
    "permute_few": Edit(_permute, _few, 0.3, step=None, rows=2),
}
SCALAR_EDITS = ("scale_cell", "jitter_cell")
ROW_EDITS: Mapping[str, float] = {
    "copy_row": 0.2,
    "swap_rows": 0.3,
    "delete_row": 0.25,
    "duplicate_row": 0.15,
}
SYMBOLIC = 40.0
"""Factor on these where a table's rows hold text: there whole rows are what can be changed."""
DROP = "drop_statement"


def _applicable(place: Place) -> Sequence[str]:
    if place.table is None:
        return SCALAR_EDITS
    longest = max(len(column) for column in place.columns.values())
    numeric = [n for n, edit in EDITS.items() if edit.rows <= longest]
    return [*numeric, *ROW_EDITS] if len(place.table.rows) > 2 else numeric


def edit_at_random(
    rng: Random, program: Program, experience: Experience, boldness: float = 1.0
) -> Change | None:
    """A change drawn by experience; None when there is nothing to change or nothing changed.

    `boldness` multiplies the step size.
    """
    found = places(program)
    options: dict[str, list[Place]] = {}
    for place in found:
        for name in _applicable(place):
            options.setdefault(name, []).append(place)
    symbolic = any(place.symbolic for place in found)
    priors = {
        name: EDITS[name].prior
        if name in EDITS
        else ROW_EDITS[name] * (SYMBOLIC if symbolic else 1)
        for name in options
    }
    if any(model.statements for model in program.values()):
        priors[DROP] = 0.15 if found else 1.0
    if not priors:
        return None
    name = experience.choose(rng, [(n, (n,), prior) for n, prior in priors.items()])
    if name == DROP:
        return drop_statement(rng, program)
    place = experience.choose(rng, [(p, (name, p.name), p.cells**0.5) for p in options[name]])
    if name in ROW_EDITS:
        return _edit_rows(rng, name, place)
    return _edit_numbers(rng, name, place, experience, boldness)


def _edit_numbers(
    rng: Random, name: str, place: Place, experience: Experience, boldness: float
) -> Change | None:
    edit = EDITS[name]
    number = experience.choose(rng, [(c, (name, place.name, c), 1.0) for c in place.columns])
    key: Key = (name, place.name, number)
    step = 0.0
    if edit.step is not None:
        size = experience.step(rng, key, edit.step) * boldness
        sign = experience.choose(rng, [(1.0, (*key, "up"), 1.0), (-1.0, (*key, "down"), 1.0)])
        step = size * sign
    cells = edit.scope(rng, place, place.columns[number])
    numbers = place.model.numbers
    spreads = _spreads(place)
    new = edit.transform(rng, [numbers[i].value for i in cells], [spreads[i] for i in cells], step)
    bounds = _bounds(place) if rng.random() < 0.5 and name.startswith("jitter") else {}
    values = {
        i: _whole(rng, numbers[i], min(max(v, bounds[i][0]), bounds[i][1]) if bounds else v)
        for i, v in zip(cells, new, strict=True)
    }
    child = splice(place.model, values)
    detail: dict[str, object] = {
        "edit": name,
        "place": place.name,
        "column": number,
        "cells": len(cells),
    }
    if edit.step is not None:
        detail["step"] = float(f"{step:.4g}")
    size_text = f" by {abs(step):.2g}" if edit.step is not None else ""
    where = f"{len(cells)} numbers" if len(cells) > 1 else "one number"
    title = f"{name.replace('_', ' ')}{size_text}: {where} in {place.path}"
    return Change({place.path: child}, detail, title)


def _whole(rng: Random, number: Number, value: float) -> float:
    """An integer moves by one at least."""
    if not number.integer or round(value) != round(number.value):
        return value
    if value == number.value:
        return value
    return number.value + (1.0 if value > number.value else -1.0)


def _spreads(place: Place) -> dict[int, float]:
    """Range of each number's column; its largest magnitude when all are equal; else 1."""
    spreads: dict[int, float] = {}
    for column in place.columns.values():
        values = [place.model.numbers[i].value for i in column]
        spread = max(values) - min(values) or max(abs(v) for v in values) or 1.0
        spreads |= dict.fromkeys(column, spread)
    return spreads


def _bounds(place: Place) -> dict[int, tuple[float, float]]:
    """Range that each number's column spans already; none where it spans nothing."""
    bounds: dict[int, tuple[float, float]] = {}
    for column in place.columns.values():
        values = [place.model.numbers[i].value for i in column]
        low, high = min(values), max(values)
        free = (float("-inf"), float("inf"))
        bounds |= dict.fromkeys(column, (low, high) if low < high else free)
    return bounds


def _edit_rows(rng: Random, name: str, place: Place) -> Change | None:
    """Structural changes of a table; the text is parsed anew except when rows are swapped."""
    table = place.table
    if table is None:
        return None
    first, second = rng.sample(range(len(table.rows)), 2)
    text = place.model.text
    (a0, a1), (b0, b1) = (table.rows[i] for i in sorted((first, second)))
    match name:
        case "swap_rows":
            new = text[:a0] + text[b0:b1] + text[a1:b0] + text[a0:a1] + text[b1:]
        case "copy_row" if rng.random() < 0.5:
            new = text[:b0] + text[a0:a1] + text[b1:]
        case "copy_row":
            new = text[:a0] + text[b0:b1] + text[a1:]
        case "duplicate_row":
            new = text[:a1] + b", " + text[a0:a1] + text[a1:]
        case _:
            after = sorted((first, second))[0] + 1
            new = text[:a0] + text[table.rows[after][0] :]
    child = parse(place.path, new)
    if child is None:
        return None
    detail = {"edit": name, "place": place.name, "cells": len(place.rows[0])}
    return Change({place.path: child}, detail, f"{name.replace('_', ' ')} in {place.path}")


def drop_statement(rng: Random, program: Program) -> Change | None:
    """Without one statement of a function."""
    spans = [(p, span) for p, m in sorted(program.items()) for span in m.statements]
    if not spans:
        return None
    path, (start, end) = rng.choice(spans)
    text = program[path].text
    child = parse(path, text[:start] + b"pass" + text[end:])
    if child is None:
        return None
    line = text.count(b"\n", 0, start) + 1
    return Change({path: child}, {"edit": DROP, "place": path}, f"drop line {line} of {path}")
