"""Lines that were deleted on the way to an attempt and that it brings back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.attempt import Attempt
from harness.ids import AttemptId, TreeHash
from harness.sandbox.repository import Repository

LOOKED_AT = 1_000
"""Attempts that are looked at: the newest. What older ones deleted is not known."""
SHORT = 8
"""Lines with fewer characters, indentation aside, say nothing: brackets, `else:`, `return`."""

Line = tuple[str, str]
"""Path and text, indentation aside."""


class Revival(NamedTuple):
    """`attempt` has lines again that `deleted_in`, an ancestor of its, deleted."""

    attempt: AttemptId
    deleted_in: AttemptId
    lines: Sequence[Line]


@dataclass(slots=True)
class _State:
    """`gone`: which attempt of the line of descent deleted it last."""

    lines: frozenset[Line]
    gone: Mapping[Line, AttemptId] = field(default_factory=dict[Line, AttemptId])


def revivals(attempts: Sequence[Attempt], repository: Repository) -> list[Revival]:
    """Each attempt that brings back what its ancestors deleted, in order of submission.

    Only along first parents: what a line of its own never had cannot come back in it.

    Raises:
        StoreError: Objects of the repository are missing or damaged.
    """
    states: dict[AttemptId, _State] = {}
    found: list[Revival] = []
    for attempt in attempts[-LOOKED_AT:]:
        lines = _lines(repository, attempt.tree)
        base = states.get(attempt.parents[0]) if attempt.parents else None
        if base is None:
            states[attempt.id] = _State(lines)
            continue
        back: dict[AttemptId, list[Line]] = {}
        for line in sorted(lines - base.lines):
            if line in base.gone:
                back.setdefault(base.gone[line], []).append(line)
        found += [Revival(attempt.id, source, each) for source, each in back.items()]
        gone = {line: source for line, source in base.gone.items() if line not in lines}
        gone.update(dict.fromkeys(base.lines - lines, attempt.id))
        states[attempt.id] = _State(lines, gone)
    return found


def _lines(repository: Repository, tree: TreeHash) -> frozenset[Line]:
    """The telling lines of the text files; a file with a NUL byte is none."""
    return frozenset(
        (path, text)
        for path, file in repository.files(tree).items()
        if b"\0" not in file.data
        for text in map(str.strip, file.data.decode("utf-8", "replace").splitlines())
        if len(text) >= SHORT
    )
