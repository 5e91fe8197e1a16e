"""Runs the tests of a task of the kind `repository`: repository_judge.py TESTS PRIVATE SEED.

It runs beside `harness_repository.py`, without the harness. Requests and the report go out on what
was standard output, answers come in on standard input, as messages of `harness_serve.py`. The
report is the last message: `{"tests": [[name, outcome, message, seconds], ...], "metrics": {...}}`,
or `{"error"}` where the tests cannot be run. Outcomes are `passed`, `failed`, `error`, `skipped`.
"""

from __future__ import annotations

import os
import sys
import time
import unittest
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from harness.evaluators import judge_runner
    from harness.evaluators.inside import harness_repository, serve_judge

    Error = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
else:
    # Ahead of everything: with -I nothing of the tests' own is there yet.
    sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120
    import harness_repository
    import judge_runner
    import serve_judge

MAX_MESSAGE_CHARACTERS = 2000


class TestsError(Exception):
    """The tests themselves cannot be run."""


class Outcomes(unittest.TestResult):
    """What became of each test, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[Any]] = {}
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self._began = time.perf_counter()
        self.rows[test.id()] = [test.id(), "passed", "", 0.0]

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        self.rows[test.id()][3] = time.perf_counter() - self._began

    def addFailure(self, test: unittest.TestCase, err: Error) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note(test, "failed", str(err[1]))

    def addError(self, test: unittest.TestCase, err: Error) -> None:  # noqa: N802
        super().addError(test, err)
        if test.id() not in self.rows:  # of a class or module that could not be set up
            self.rows[test.id()] = [test.id(), "error", "", 0.0]
        sys.stderr.write(self.errors[-1][1])
        kind = "" if err[0] is None else err[0].__name__
        self._note(test, "error", f"{kind}: {err[1]}")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Error) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._note(test, "skipped", "fails as expected")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._note(test, "failed", "passes against expectation")

    def addSubTest(  # noqa: N802
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: Error | None
    ) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None and err[0] is not None:
            failed = issubclass(err[0], test.failureException)
            self._note(test, "failed" if failed else "error", f"{subtest}: {err[1]}")

    def _note(self, test: unittest.TestCase, outcome: str, message: str) -> None:
        row = self.rows[test.id()]
        # The first that went wrong is told.
        if row[1] == "passed":
            row[1:3] = [outcome, message[:MAX_MESSAGE_CHARACTERS]]


def run_tests(
    folder: Path, private: Path, seed: int, repo: harness_repository.Repository
) -> dict[str, Any]:
    """The report.

    Raises:
        TestsError: A file cannot be imported, or there is no test.
    """
    base = harness_repository.RepositoryTest
    metrics: dict[str, float] = {}
    base.repo, base.private, base.seed, base.metrics = repo, private, seed, metrics
    loader = unittest.TestLoader()
    suite = loader.discover(str(folder), "test_*.py", str(folder))
    if loader.errors:
        raise TestsError(str(loader.errors[0]).strip())
    outcomes = Outcomes()
    suite.run(outcomes)
    if not outcomes.rows:
        raise TestsError(f"no tests in {folder.name}/test_*.py")
    numbers = {
        str(name): judge_runner.number(f"metric {name!r}", value) for name, value in metrics.items()
    }
    unlike = [name for name, value in numbers.items() if not judge_runner.finite(value)]
    if unlike:
        raise TestsError(f"metric {unlike[0]!r} is not a finite number")
    return {"tests": list(outcomes.rows.values()), "metrics": numbers}


def main() -> None:
    """Report, whatever the tests do."""
    folder, private, seed = sys.argv[1:]
    channel = serve_judge.Channel()

    def ask(request: dict[str, Any]) -> Any:
        return channel.ask(request)[0]["value"]

    report: dict[str, Any]
    try:
        repo = harness_repository.Repository(ask)
        report = run_tests(Path(folder), Path(private), int(seed), repo)
    except BaseException as error:  # whatever the tests do, SystemExit too, their author is told
        import traceback

        traceback.print_exc()
        report = {"error": f"{type(error).__name__}: {error}"[:2000]}
    sys.stdout.flush()
    sys.stderr.flush()
    channel.send({"op": "answer", "answer": report})


if __name__ == "__main__":
    main()
