"""What of a task's seed may be changed: whole files by pattern, or marked blocks in them.

The markers `EVOLVE-BLOCK-START` and `EVOLVE-BLOCK-END`, each on a line of its own behind any
comment sign, are those of AlphaEvolve (2025) and of the programs that follow it, which mostly leave
it at asking for them to be respected. Here a submission that changes anything else is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.errors import SubmissionRefusedError, TaskError
from harness.patterns import matcher
from harness.tasks.base import Task
from harness.tasks.folder import files_below

START, END = b"EVOLVE-BLOCK-START", b"EVOLVE-BLOCK-END"
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Editable:
    """The rules, and the seed's files that a submission is compared with."""

    seed: Mapping[str, bytes] = field(repr=False)
    editable: tuple[str, ...]
    protected: tuple[str, ...]
    blocks: bool

    def among(self, seed: Mapping[str, bytes]) -> "Editable":
        """The same rules, comparing with these files of the seed only."""
        return replace(self, seed=seed)

    def allows(self, path: str) -> bool:
        """Whether a file of this path may be changed, added or deleted."""
        return matcher(self.editable)(path) and not matcher(self.protected)(path)

    def spans(self, path: str, data: bytes) -> list[Span] | None:
        """The parts of a file that may be changed, in bytes; None: all of it."""
        if not self.allows(path):
            return []
        if not self.blocks or START not in self.seed.get(path, b""):
            return None
        return [(start, end) for start, end in _blocks(data) or ()]

    def check(self, files: Mapping[str, bytes]) -> None:
        """
        Raises:
            SubmissionRefusedError: Something else differs from the seed; says what and where.
        """
        for path in sorted({*self.seed, *files}):
            old, new = self.seed.get(path), files.get(path)
            if old != new and not self.allows(path):
                what = "added" if old is None else "deleted" if new is None else "changed"
                raise _refused(path, f"was {what}, and {self._which()}", path if old else "")
            if old is None or not self.blocks or START not in old:
                continue
            if new is None:
                raise _refused(path, "was deleted", path)
            if (line := _first_change(old, new)) is not None:
                raise SubmissionRefusedError(
                    f"{path!r} cannot be submitted: line {line} is changed, which lies outside "
                    f"{START.decode()} and {END.decode()}; only lines between these two may be "
                    "changed: put back what stands around them, the two lines included"
                )

    def words(self) -> str:
        """For agents: what they may change."""
        parts: list[str] = []
        if self.editable != ("**",) or self.protected:
            parts.append(f"{self._which()}; all others must stay as they are in attempt 0")
        if self.blocks:
            marked = ", ".join(path for path, data in sorted(self.seed.items()) if START in data)
            parts.append(
                f"in {marked} only the lines between {START.decode()} and {END.decode()} may be "
                "changed, the two lines stay"
            )
        return "; ".join(parts)

    def _which(self) -> str:
        some = f", but not {', '.join(self.protected)}" if self.protected else ""
        return f"only files that match {', '.join(self.editable)}{some} may be changed"


def editable_of(task: Task) -> Editable | None:
    """The task's rules; None where all of a submission may be changed.

    Raises:
        ValueError: A pattern means nothing.
        TaskError: `blocks` is asked for and the seed has no whole pair of markers.
    """
    spec = task.file.submission
    if spec.editable == ["**"] and not spec.protected and not spec.blocks:
        return None
    for patterns in (spec.editable, spec.protected):
        matcher(tuple(patterns))
    seed = {path: file.read_bytes() for path, file in files_below(task.seed)}
    if spec.blocks:
        _check_markers(task, seed)
    return Editable(seed, tuple(spec.editable), tuple(spec.protected), spec.blocks)


def has_blocks(data: bytes) -> bool:
    """Whether a file has pairs of markers, each closed before the next one opens."""
    return bool(_blocks(data))


def _check_markers(task: Task, seed: Mapping[str, bytes]) -> None:
    marked = {path: data for path, data in seed.items() if START in data}
    broken = [path for path, data in marked.items() if not has_blocks(data)]
    if not marked or broken:
        raise TaskError(
            f"{task.seed / broken[0] if broken else task.seed} has no "
            f"{START.decode()} … {END.decode()} that 'submission.blocks' could go by",
            expected="pairs of such lines, each closed before the next one opens",
            action="add the markers to the seed, or set 'submission.blocks: false'",
        )


def _blocks(data: bytes) -> list[Span] | None:
    """What stands between the markers' lines; None when they are no pairs."""
    spans: list[Span] = []
    opened: int | None = None
    position = 0
    for line in data.splitlines(keepends=True):
        following = position + len(line)
        if START in line:
            if opened is not None:
                return None
            opened = following
        elif END in line:
            if opened is None:
                return None
            spans.append((opened, position))
            opened = None
        position = following
    return None if opened is not None else spans


def _outside(data: bytes) -> list[tuple[int, bytes]] | None:
    """Lines outside of the blocks, markers included, with their numbers; None as `_blocks`."""
    spans = _blocks(data)
    if spans is None:
        return None
    lines: list[tuple[int, bytes]] = []
    position = 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if not any(start <= position < end for start, end in spans):
            lines.append((number, line.rstrip()))
        position += len(line)
    while lines and not lines[-1][1]:  # empty lines at the end of a file mean nothing
        lines.pop()
    return lines


def _first_change(old: bytes, new: bytes) -> int | None:
    """Number of the first line of `new` that differs outside of the blocks; None without one."""
    kept, found = _outside(old) or [], _outside(new)
    if found is None:
        return next(
            (n for n, line in enumerate(new.splitlines(), 1) if START in line or END in line), 1
        )
    for (_, wanted), (number, line) in zip(kept, found, strict=False):
        if wanted != line:
            return number
    if len(found) > len(kept):
        return found[len(kept)][0]
    return new.count(b"\n") + 1 if len(found) < len(kept) else None


def _refused(path: str, why: str, restore: str) -> SubmissionRefusedError:
    action = f"put back {restore!r} as it is in attempt 0" if restore else "delete it"
    return SubmissionRefusedError(f"{path!r} cannot be submitted: it {why}; {action}")
