"""What the tests of a task of the kind `repository` are made of.

    from harness_repository import RepositoryTest

    class Sorting(RepositoryTest):
        def test_numbers(self):
            done = self.repo.run(["python", "-m", "sorter"], stdin="3 1 2")
            self.assertEqual(done.text, "1 2 3\n")

The submitted tree is in another sandbox. Tests never import it: they run its commands and read
its files, and compare what comes back. Standard library only.
"""

from __future__ import annotations

import random
import unittest
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

MAX_SHOWN_CHARACTERS = 1500


class Done:
    """How a command ended. `seconds` is the harness's measurement.

    `ended` is `exited`, `timeout`, `out_of_memory`, `pids`, `disk` or `output_limit`; `exit_code`
    is negative for a signal and means something only where it is `exited`.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.ended: str = told["ended"]
        self.exit_code: int = told["exit_code"]
        self.stdout: bytes = told["stdout"]
        self.stderr: bytes = told["stderr"]
        self.seconds: float = told["seconds"]

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 are escaped."""
        return self.stdout.decode("utf-8", "backslashreplace")

    @property
    def ok(self) -> bool:
        return self.ended == "exited" and self.exit_code == 0

    def __str__(self) -> str:
        how = f"exit code {self.exit_code}" if self.ended == "exited" else self.ended
        said = (self.stderr or self.stdout).decode("utf-8", "backslashreplace").strip()
        return "\n".join(filter(None, (how, said[-MAX_SHOWN_CHARACTERS:])))


class Repository:
    """The submitted tree, built, in a sandbox of its own. Paths are relative to its root."""

    def __init__(self, ask: Callable[[dict[str, Any]], Any]) -> None:
        self._ask = ask

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | bytes = b"",
        timeout_s: float | None = None,
        check: bool = True,
    ) -> Done:
        """Run a command to its end; whatever it started is gone then.

        Args:
            timeout_s: Wall-clock limit in seconds, if it is to be less than the task's.
            check: A command that does not end with exit code 0 fails the test.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        limit = None if timeout_s is None else float(timeout_s)
        words = [str(each) for each in argv]
        done = Done(self._ask({"op": "run", "argv": words, "timeout_s": limit, "data": data}))
        if check and not done.ok:
            raise AssertionError(f"{' '.join(words)}: {done}")
        return done

    def read(self, path: str) -> bytes:
        """The content of a regular file.

        Raises:
            AssertionError: There is none: the test fails.
        """
        told = self._ask({"op": "read", "path": path, "data": b""})
        if "problem" in told:
            raise AssertionError(told["problem"])
        content: bytes = told["content"]
        return content

    def write(self, path: str, data: str | bytes) -> None:
        """Create or replace a file."""
        content = data.encode() if isinstance(data, str) else data
        told = self._ask({"op": "write", "path": path, "data": content})
        if "problem" in told:
            raise AssertionError(told["problem"])

    def fresh(self) -> None:
        """Put a new sandbox in its place, with the tree as it was submitted, built again."""
        self._ask({"op": "fresh", "data": b""})


class RepositoryTest(unittest.TestCase):
    """A test of a submitted tree, as of `unittest`; what it reports goes to the harness only."""

    repo: Repository
    private: Path
    """The task's private data."""
    seed: int = 0
    metrics: dict[str, float]

    def __init__(self, methodName: str = "runTest") -> None:  # noqa: N803 - unittest's name
        super().__init__(methodName)
        self.random = random.Random(f"{self.seed} {self.id()}")
        """A generator of this evaluation's own, for this test."""

    def metric(self, name: str, value: float) -> None:
        """Report a number of this submission, for instance seconds or bytes."""
        self.metrics[name] = value
