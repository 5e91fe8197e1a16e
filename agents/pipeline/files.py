"""The files a directive changes: what applies, what may be submitted, how they differ."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.agents.edit import EditError, apply_blocks
from harness.agents.pipeline.parts import PathBlock
from harness.errors import SubmissionRefusedError
from harness.sandbox.scan import Sieve, SubmissionRules
from harness.sandbox.tree import path_problem

_CONTEXT_LINES = 8

Files = dict[str, str]
"""Text by path."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Files with their new content, and what did not apply and why; each file all or nothing."""

    files: Files
    problems: tuple[str, ...]


def readable(tree: Mapping[str, bytes]) -> tuple[Files, list[str]]:
    """The files of a tree that are text, and the paths of those that are not."""
    files: Files = {}
    others: list[str] = []
    for path, data in sorted(tree.items()):
        try:
            files[path] = data.decode("utf-8")
        except UnicodeDecodeError:
            others.append(path)
    return files, others


def refused(path: str, submission: Sequence[str]) -> str:
    """Why a file of this path would not be submitted; empty when it would be."""
    problem = path_problem(path)
    if problem is not None:
        return f"{path[:120]!r} cannot be written: {problem}"
    sieve = Sieve(SubmissionRules(include=tuple(submission)))
    try:
        folders = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
        if all(map(sieve.enters, folders)) and sieve.admits(path, "file"):
            return ""
    except SubmissionRefusedError as error:
        return str(error)
    return f"{path!r} would not be submitted: only {', '.join(submission)} is"


def apply_path_blocks(
    files: Mapping[str, str], blocks: Sequence[PathBlock], submission: Sequence[str]
) -> Applied:
    """`blocks` applied to `files`; a file of which one block does not apply stays as it is."""
    by_path: dict[str, list[PathBlock]] = {}
    problems: list[str] = []
    for block in blocks:
        path = block.path or (next(iter(files)) if len(files) == 1 else "")
        path = _known(path, files)
        if not path:
            problems.append("a block does not say which file it is for: name it on its first line")
            continue
        by_path.setdefault(path, []).append(block)
    applied: Files = {}
    for path, own in by_path.items():
        new = path not in files
        problem = refused(path, submission)
        if new and any(each.block.search.strip() for each in own):
            problem = problem or f"there is no file {path}; there are: {', '.join(files) or 'none'}"
        try:
            if not problem:
                applied[path] = apply_blocks(files.get(path, ""), [b.block for b in own]).text
        except EditError as error:
            problem = f"{path}: {error}"
        if problem:
            problems.append(problem)
    return Applied(applied, tuple(dict.fromkeys(problems)))


def _known(path: str, files: Mapping[str, str]) -> str:
    """`path`, or the one file it can only mean: models like to write absolute paths."""
    if path in files or not path:
        return path
    meant = [known for known in files if path.endswith(f"/{known}")]
    return meant[0] if len(meant) == 1 else path


def difference(base: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Unified diff from `base` to `base` with `files` in it."""
    parts: list[str] = []
    for path, content in sorted(files.items()):
        old = base.get(path)
        lines = difflib.unified_diff(
            (old or "").split("\n"),
            content.split("\n"),
            "/dev/null" if old is None else f"a/{path}",
            f"b/{path}",
            lineterm="",
            n=_CONTEXT_LINES,
        )
        parts.extend(lines)
    return "\n".join(parts)


def changed(base: Mapping[str, str], files: Mapping[str, str]) -> Files:
    """Those of `files` that differ from `base`."""
    return {path: content for path, content in files.items() if base.get(path) != content}


def placing(
    base: Mapping[str, str], files: Mapping[str, str], placed: Sequence[str]
) -> tuple[Files, list[str]]:
    """What to write and what to remove, so that a workspace holds `base` with `files` in it.

    `placed` are the paths written before.
    """
    write = {path: base[path] for path in placed if path in base} | dict(files)
    return write, [path for path in placed if path not in base and path not in files]
