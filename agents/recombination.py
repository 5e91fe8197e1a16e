"""Changes that come from other attempts: along a recorded difference, or parts of another tree."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from harness.agents.edits import Change, Program, places
from harness.agents.mutation import Model, Table, parse, splice

Delta = Mapping[str, Mapping[int, float]]
"""Differences of numbers by file and index."""
REPEAT_FACTORS = (1.6, 1.0, 0.4)
"""How far an improvement is repeated at the first, second and third try; the second in part."""


def difference(new: Program, old: Program) -> Delta | None:
    """By how much the numbers of `new` exceed those of `old`.

    None when the two differ in anything but numbers, or in nothing.
    """
    if set(new) != set(old) or any(not new[path].aligned(old[path]) for path in new):
        return None
    deltas: dict[str, dict[int, float]] = {}
    for path, model in new.items():
        pairs = zip(model.numbers, old[path].numbers, strict=True)
        changed = {i: a.value - b.value for i, (a, b) in enumerate(pairs) if a.value != b.value}
        if changed:
            deltas[path] = changed
    return deltas or None


def along(program: Program, delta: Delta, factor: float) -> Mapping[str, Model] | None:
    """`program` with `factor` times `delta` added; None when it has no such numbers."""
    changed: dict[str, Model] = {}
    for path, moves in delta.items():
        model = program.get(path)
        if model is None or max(moves) >= len(model.numbers):
            return None
        values = {i: model.numbers[i].value + factor * move for i, move in moves.items()}
        changed[path] = splice(model, values)
    return changed


def part(rng: Random, delta: Delta) -> Delta:
    """A half of the changes: a run of them or scattered ones. A single change stays as it is."""
    changes = [(path, i) for path, moves in sorted(delta.items()) for i in sorted(moves)]
    count = (len(changes) + 1) // 2
    start = rng.randrange(len(changes) - count + 1)
    kept = changes[start : start + count] if rng.random() < 0.5 else rng.sample(changes, count)
    chosen: dict[str, dict[int, float]] = {}
    for path, i in kept:
        chosen.setdefault(path, {})[i] = delta[path][i]
    return chosen


def repeat(rng: Random, base: Program, parent: Program, tries: int) -> Change | None:
    """On in the direction from `parent` to `base`: further, then in part, then less far."""
    delta = difference(base, parent)
    factor = REPEAT_FACTORS[min(tries, len(REPEAT_FACTORS) - 1)]
    if delta is not None and tries % 2:
        delta = part(rng, delta)
    files = along(base, delta, factor) if delta else None
    if delta is None or files is None:
        return None
    detail = {"edit": "repeat", "factor": factor, "cells": sum(map(len, delta.values()))}
    return Change(files, detail, f"repeat the last change times {factor}")


def retreat(rng: Random, failed: Program, good: Program) -> Change | None:
    """Part of the way from `good` to what failed, or all of the way in part of the numbers."""
    delta = difference(failed, good)
    factor = rng.choice((1.0, 0.5, 0.25))
    if delta is not None and factor == 1.0:
        delta = part(rng, delta)
    files = along(good, delta, factor) if delta else None
    if delta is None or files is None:
        return None
    detail = {"edit": "retreat", "factor": factor, "cells": sum(map(len, delta.values()))}
    return Change(files, detail, f"a part of the change that failed, times {factor}")


def transplant(base: Program, donor: Program, origin: Program) -> Change | None:
    """What led from `origin` to `donor`, done to `base`."""
    delta = difference(donor, origin)
    files = along(base, delta, 1.0) if delta else None
    if delta is None or files is None:
        return None
    detail = {"edit": "transplant", "cells": sum(map(len, delta.values()))}
    return Change(files, detail, "apply the change of another attempt")


def cross_rows(rng: Random, base: Program, donor: Program) -> Change | None:
    """A table with some rows, or a run of rows, of the donor's table in the same place."""
    pairs: list[tuple[str, int]] = []
    for path, model in sorted(base.items()):
        other = donor.get(path)
        if other is not None and model.aligned(other):
            pairs += [(path, i) for i, t in enumerate(model.tables) if _differs(model, other, t)]
    if not pairs:
        return None
    path, index = rng.choice(pairs)
    model, other = base[path], donor[path]
    place = next(p for p in places({path: model}) if p.name == f"{path}#{index}")
    rows = [r for r in place.rows if any(_value(model, i) != _value(other, i) for i in r)]
    count = rng.randint(1, max(1, len(rows) // 2))
    start = rng.randrange(len(rows) - count + 1)
    taken = rows[start : start + count] if rng.random() < 0.5 else rng.sample(rows, count)
    values = {i: _value(other, i) for row in taken for i in row}
    detail = {"edit": "cross_rows", "place": place.name, "cells": len(values)}
    title = f"take {count} rows of another attempt's table in {path}"
    return Change({path: splice(model, values)}, detail, title)


def blend(rng: Random, base: Program, donor: Program) -> Change | None:
    """Some way towards the donor in all numbers, or a little way past the base."""
    delta = difference(donor, base)
    factor = rng.choice((0.5, 0.25, -0.2))
    files = along(base, delta, factor) if delta else None
    if delta is None or files is None:
        return None
    detail = {"edit": "blend", "factor": factor, "cells": sum(map(len, delta.values()))}
    return Change(files, detail, f"{factor} of the way to another attempt")


def take_definition(rng: Random, base: Program, donor: Program) -> Change | None:
    """A function or constant of the same name, as the donor defines it."""
    options: list[tuple[str, str]] = []
    for path, model in sorted(base.items()):
        other = donor.get(path)
        shared = sorted(set(model.functions) & set(other.functions)) if other else []
        options += [(path, n) for n in shared if other and _text(model, n) != _text(other, n)]
    if not options:
        return None
    path, name = rng.choice(options)
    start, end = base[path].functions[name]
    text = base[path].text
    child = parse(path, text[:start] + _text(donor[path], name) + text[end:])
    if child is None:
        return None
    detail = {"edit": "take_definition", "place": path}
    return Change({path: child}, detail, f"take {name} from another attempt")


Crossing = Callable[[Random, Program, Program], Change | None]
CROSSINGS: Sequence[tuple[Crossing, str, float]] = (
    (cross_rows, "cross_rows", 1.0),
    (blend, "blend", 0.5),
    (take_definition, "take_definition", 0.4),
)


def _text(model: Model, name: str) -> bytes:
    start, end = model.functions[name]
    return model.text[start:end]


def _value(model: Model, index: int) -> float:
    return model.numbers[index].value


def _differs(model: Model, other: Model, table: Table) -> bool:
    return any(_value(model, i) != _value(other, i) for i in table.cells)
