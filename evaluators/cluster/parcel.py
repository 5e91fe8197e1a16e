"""What travels between a run and the nodes of a cluster, as bytes.

A task and a submission are one tar archive each, a verdict is JSON: a node's answer is parsed
strictly and never unpickled into an object of ours.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.attempt import Verdict, verdict_from, verdict_json
from harness.evaluators.strict_json import StrictJsonError, parse
from harness.sandbox.base import MIB, ExecEnd, ExecResult
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.folder import files_below
from harness.tasks.loader import TASK_FILE

MAX_PRIVATE_BYTES = 256 * MIB
"""Private data above this size are not sent: nodes find them under the same path."""
MAX_VERDICT_BYTES = 16 * MIB


def pack(files: Mapping[str, TreeFile]) -> bytes:
    """One archive of `files` by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, file in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(file.data), 0o755 if file.executable else 0o644
            archive.addfile(member, io.BytesIO(file.data))
    return buffer.getvalue()


def unpack(parcel: bytes) -> dict[str, TreeFile]:
    """The inverse of `pack`.

    Raises:
        tarfile.TarError: It is not an archive.
    """
    found: dict[str, TreeFile] = {}
    with tarfile.open(fileobj=io.BytesIO(parcel), mode="r:") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                found[member.name] = TreeFile(content.read(), bool(member.mode & 0o100))
    return found


def pack_task(task: Task) -> bytes:
    """What a node needs of a task; private data only up to `MAX_PRIVATE_BYTES`. Blocking."""
    parts = {"seed": task.seed}
    if task.evaluator is not None:
        parts["evaluator"] = task.evaluator
    if task.private is not None and travels(task.private):
        parts["private"] = task.private
    files = {TASK_FILE: _read(task.folder / TASK_FILE)}
    for part, folder in parts.items():
        files |= {f"{part}/{name}": _read(path) for name, path in files_below(folder)}
    return pack(files)


def travels(private: Path) -> bool:
    """Whether private data are sent to the nodes."""
    return _size(path for _, path in files_below(private)) <= MAX_PRIVATE_BYTES


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _read(path: Path) -> TreeFile:
    return TreeFile(path.read_bytes(), bool(path.stat().st_mode & 0o100))


def pack_verdict(verdict: Verdict) -> bytes:
    """A verdict as JSON."""
    return json.dumps(verdict_json(verdict), allow_nan=False).encode()


def unpack_verdict(data: bytes) -> Verdict:
    """The inverse of `pack_verdict`.

    Raises:
        ValueError: It is not a verdict.
    """
    document = parse(data, max_bytes=MAX_VERDICT_BYTES)
    if not isinstance(document, dict):
        raise StrictJsonError("a verdict is an object")
    try:
        return verdict_from(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a verdict: {error!r}") from error


def pack_result(result: ExecResult) -> list[Any]:
    """How a command ended, as plain values."""
    return [
        result.end.value,
        result.exit_code,
        result.stdout,
        result.stderr,
        result.duration_s,
        result.evidence,
    ]


def unpack_result(values: list[Any]) -> ExecResult:
    """The inverse of `pack_result`.

    Raises:
        ValueError: It is not one.
    """
    try:
        end, exit_code, stdout, stderr, duration_s, evidence = values
        return ExecResult(
            ExecEnd(end), int(exit_code), bytes(stdout), bytes(stderr), float(duration_s), evidence
        )
    except TypeError as error:
        raise ValueError(f"not the result of a command: {error}") from error
