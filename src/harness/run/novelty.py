"""What is as good as submitted before is refused before it costs an evaluation.

An equal tree is found by the store (a duplicate). This finds what equals an earlier attempt but for
comments, docstrings and formatting of Python files, and, when `search.novelty.similarity` asks for
it, what the memory's embedder takes for nearly the same text.
"""

import ast
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from harness.attempt import NOT_CHARGED, Attempt
from harness.ids import AttemptId, TreeHash
from harness.memory.base import MemoryConfig
from harness.sandbox.repository import Repository
from harness.sandbox.tree import TreeFile
from harness.search.config import NoveltyConfig

if TYPE_CHECKING:
    from harness.memory.embedders import Embedder, Vectors

REMEMBERED = 2_000
"""Attempts that a submission is compared with: the newest."""
PARSED_BYTES = 256 * 1024
"""Larger files are compared byte by byte."""


class Likeness(NamedTuple):
    """What an attempt is compared by; `vector` only where an embedder is asked."""

    tree: TreeHash
    fingerprint: str
    vector: "Vectors | None"


class Twin(NamedTuple):
    """The earlier attempt that a tree resembles, and in which way."""

    attempt: AttemptId
    how: str


def normalised(path: str, data: bytes) -> bytes:
    """A Python file without comments, docstrings and formatting; anything else as it is."""
    if not path.endswith(".py") or len(data) > PARSED_BYTES:
        return data
    try:
        with warnings.catch_warnings(action="ignore"):
            module = ast.parse(data)
        for node in ast.walk(module):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                _drop_docstring(node)
        return ast.dump(module).encode("utf-8", "surrogatepass")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return data  # what does not parse is compared as it is


def _drop_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            node.body = rest
        case _:
            pass


def fingerprint(files: Mapping[str, TreeFile]) -> str:
    """Equal for trees that differ only in what `normalised` leaves out."""
    content = hashlib.sha256()
    for path, file in sorted(files.items()):
        data = normalised(path, file.data)
        content.update(f"{path}\0{file.executable}\0{len(data)}\0".encode("utf-8", "surrogatepass"))
        content.update(data)
    return content.hexdigest()


class Novelty:
    """Compares trees with the run's attempts. Safe for threads."""

    def __init__(self, config: NoveltyConfig, memory: MemoryConfig, repository: Repository) -> None:
        self.config = config
        self._memory = memory
        self._repository = repository
        self._known: dict[AttemptId, Likeness] = {}
        self._lock = Lock()

    @cached_property
    def _embedder(self) -> "Embedder":
        # NumPy takes a while to load, and few runs ask for this.
        from harness.memory.embedders import make_embedder

        return make_embedder(self._memory)

    @property
    def active(self) -> bool:
        """Whether anything is compared at all."""
        return self.config.normalised or self.config.similarity < 1.0

    def twin(self, tree: TreeHash, newest_first: Sequence[Attempt]) -> Twin | None:
        """The newest attempt that `tree` is nearly equal to; None if it equals one exactly.

        Blocks. The first call after a resume reads the trees of the attempts.
        """
        compared = [a for a in newest_first if a.status not in NOT_CHARGED]
        if any(attempt.tree == tree for attempt in compared):
            return None
        with self._lock:
            mine = self._likeness(tree)
            known = {a.id: self._known.get(a.id) or self._likeness(a.tree) for a in compared}
            self._known = known
        for attempt, its in known.items():
            if self.config.normalised and its.fingerprint == mine.fingerprint:
                return Twin(attempt, "differs only in comments, docstrings or formatting from")
            if mine.vector is not None and its.vector is not None:
                similarity = float(mine.vector[0] @ its.vector[0])
                if similarity >= self.config.similarity:
                    return Twin(attempt, f"is {similarity:.3f} similar to")
        return None

    def _likeness(self, tree: TreeHash) -> Likeness:
        files = self._repository.files(tree)
        vector: Vectors | None = None
        if self.config.similarity < 1.0:
            text = "\n".join(f.data.decode("utf-8", "replace") for f in files.values())
            vector = self._embedder.embed([text])
        return Likeness(tree, fingerprint(files), vector)
