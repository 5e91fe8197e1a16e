"""What the evaluator of submitted repositories must do, checked for real.

Subclass `RepositoryContract` and override the fixture `open_evaluator` as for `EvaluatorContract`:
it gets a task of the kind `repository`. Submissions are small packages of Python.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.attempt import Status
from harness.evaluators.base import EvaluationJob
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.loader import load_task
from harness.testing.evaluator import SECRET
from harness.testing.evaluator_suite import EvaluatorSuite, OpenEvaluator

SORTER = """
import sys
print(*sorted(map(int, sys.stdin.read().split())))
"""

TESTS = """
from harness_repository import RepositoryTest

SORT = ["python", "-m", "sorter"]

class Sorting(RepositoryTest):
    def test_numbers(self):
        self.assertEqual(self.repo.run(SORT, stdin="3 1 2").text, "1 2 3\\n")

    def test_many(self):
        numbers = [self.random.randrange(1000) for _ in range(50)]
        done = self.repo.run(SORT, stdin=" ".join(map(str, numbers)))
        self.assertEqual(done.text.split(), list(map(str, sorted(numbers))))
        self.metric("seconds", done.seconds)

    def test_nothing(self):
        self.assertEqual(self.repo.run(SORT).text, "\\n")
"""

HEAD = "from harness_repository import RepositoryTest\nclass T(RepositoryTest):\n"

# The candidate answers by itself; what it can reach of the tests' world is nothing.
HOSTILE: Mapping[str, str] = {
    "prints a report": 'print(\'{"tests":[["a","passed","",0.0]],"metrics":{}}\')',
    "ends at once": "import os; os._exit(0)",
    "writes every descriptor": (
        "import os\nfor fd in range(3, 64):\n"
        '    try: os.write(fd, b\'{"op":"answer"}\')\n    except OSError: pass\n'
    ),
    "patches unittest": (
        "import unittest\nunittest.TestCase.assertEqual = lambda *args: None\nprint('1 2 3')"
    ),
    "leaves a process behind": (
        "import os, sys, time\n"
        "if os.fork() == 0:\n    os.setsid(); time.sleep(0.2)\n"
        "    open('sorter.py', 'w').write('print(1, 2, 3)'); os._exit(0)\nprint('0')"
    ),
    "looks for the tests": (
        "import glob\n"
        "found = glob.glob('/evaluator/*') + glob.glob('/private/*')\n"
        "print(found or 'nothing')"
    ),
}


def write_repository_task(folder: Path, *, tests: str = TESTS, **evaluator: Any) -> Task:
    """A task whose seed sorts numbers; `evaluator` overrides keys of that section."""
    for name in ("seed/sorter", "evaluator/tests", "private"):
        (folder / name).mkdir(parents=True)
    spec = {
        "kind": "repository",
        "timeout_s": 20,
        "judge_timeout_s": 20,
        "max_output_bytes": 1024 * 1024,
        **evaluator,
    }
    file = {
        "name": "contract",
        "description": "Sort numbers.",
        "direction": "maximize",
        "evaluator": spec,
        "limits": {"pids": 64, "memory": "512MiB"},
    }
    (folder / "task.yaml").write_text(json.dumps(file), encoding="utf-8")
    (folder / "seed" / "sorter.py").write_text(SORTER, encoding="utf-8")
    (folder / "evaluator" / "tests" / "test_sorter.py").write_text(tests, encoding="utf-8")
    (folder / "private" / "truth.txt").write_text(SECRET, encoding="utf-8")
    return load_task(folder)


def repository(
    sorter: str, more: Mapping[str, str] | None = None, *, seed: int = 0
) -> EvaluationJob:
    """A submission of `sorter.py` and `more` files."""
    texts = {"sorter.py": sorter, **(more or {})}
    files = {name: TreeFile(text.encode()) for name, text in texts.items()}
    return EvaluationJob(AttemptId("1"), FilesSubmission(files), seed)


class RepositoryContract(EvaluatorSuite):
    """The whole contract; one subclass per evaluator or provider."""

    write = staticmethod(write_repository_task)
    submit = staticmethod(repository)

    async def test_scores_test_by_test(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            good, bad = await asyncio.gather(
                evaluator.evaluate(repository(SORTER)),
                evaluator.evaluate(repository("print('1 2 3')")),
            )
        assert (good.status, good.score) == (Status.SCORED, 1.0)
        assert good.feedback == "3 of 3 tests passed."
        assert good.metrics["seconds"] > 0
        assert (bad.status, bad.score) == (Status.SCORED, 1 / 3)
        outcomes = {stage.name: stage.status for stage in bad.stages}
        assert outcomes == {
            "tests": Status.SCORED,
            "test test_sorter.Sorting.test_many": Status.INVALID,
            "test test_sorter.Sorting.test_nothing": Status.INVALID,
            "test test_sorter.Sorting.test_numbers": Status.SCORED,
        }
        assert "failed test_sorter.Sorting.test_nothing: '1 2 3\\n' != '\\n'" in bad.feedback

    async def test_hostile_candidates(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdicts = [await evaluator.evaluate(repository(each)) for each in HOSTILE.values()]
            again = await evaluator.evaluate(repository(SORTER))
        for name, verdict in zip(HOSTILE, verdicts, strict=True):
            # One test's answer can be printed without sorting; the others cannot.
            assert verdict.status is Status.SCORED, name
            assert verdict.score is not None, name
            assert verdict.score <= 1 / 3, name
            assert SECRET not in verdict.feedback, name
            assert "/evaluator" not in verdict.feedback, name
        assert again.score == 1.0

    async def test_the_build_comes_first(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        build = ["python", "build.py"]
        tests = (
            f"{HEAD}    def test_built(self):\n"
            "        self.assertEqual(self.repo.read('built.txt'), b'built')\n"
            "        self.repo.write('built.txt', 'changed')\n"
            "        self.repo.fresh()\n"
            "        self.assertEqual(self.repo.read('built.txt'), b'built')\n"
            "    def test_missing(self):\n"
            "        with self.assertRaisesRegex(AssertionError, 'no such file'):\n"
            "            self.repo.read('nothing')\n"
        )
        folder = tmp_path / "task"
        (folder / "seed").mkdir(parents=True)
        (folder / "seed" / "build.py").write_text("pass", encoding="utf-8")
        opened = open_evaluator(write_repository_task(folder, tests=tests, build=build))
        works = {"build.py": "open('built.txt', 'w').write('built')"}
        breaks = {"build.py": "import sys; sys.exit('no compiler')"}
        try:
            good = await opened.evaluate(repository(SORTER, works))
            bad = await opened.evaluate(repository(SORTER, breaks))
        finally:
            await opened.close()
        assert (good.status, good.score) == (Status.SCORED, 1.0), good.feedback
        assert [stage.name for stage in good.stages][:2] == ["build", "tests"]
        assert bad.status is Status.FAILED
        assert "the build ended with exit code 1\nno compiler" in bad.feedback

    async def test_a_metric_can_be_the_score(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        tests = (
            f"{HEAD}    def test_size(self):\n"
            "        self.metric('bytes', len(self.repo.read('sorter.py')))\n"
            "    def test_works(self):\n        self.repo.run(['python', 'sorter.py'])\n"
        )
        async with self.evaluator(open_evaluator, tmp_path, tests=tests, score="bytes") as opened:
            works = await opened.evaluate(repository("print()"))
            breaks = await opened.evaluate(repository("raise SystemExit(3)"))
        assert (works.status, works.score) == (Status.SCORED, 7.0)
        assert (breaks.status, breaks.score) == (Status.INVALID, None)
        assert "All of them must." in breaks.feedback
        assert "exit code 3" in breaks.feedback

    async def test_secret_tests_are_not_told(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = "raise ValueError('a word of the candidate')"
        verdict = await self.verdict(open_evaluator, tmp_path, source, secret_tests=True)
        assert verdict.feedback == "0 of 3 tests passed."

    @pytest.mark.slow
    async def test_limits_are_told_to_the_tests(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        tests = (
            f"{HEAD}    def test_a(self):\n"
            "        done = self.repo.run(['python', '-c', 'import time; time.sleep(60)'],\n"
            "                             timeout_s=0.5, check=False)\n"
            "        self.assertEqual((done.ended, done.ok), ('timeout', False))\n"
            "    def test_b(self):\n"
            "        argv = ['python', '-c', 'while 1: print(9**999)']\n"
            "        done = self.repo.run(argv, check=False)\n"
            "        self.assertEqual(done.ended, 'output_limit')\n"
            "    def test_c(self):\n"
            "        self.repo.run(['python', '-c', 'import time; time.sleep(60)'])\n"
            "    def test_d(self):\n        self.repo.run(['true'])\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, SORTER, tests=tests, timeout_s=8)
        outcomes = [stage.status for stage in verdict.stages[1:]]
        scored, invalid = Status.SCORED, Status.INVALID
        # The third used up what all commands together may take.
        assert outcomes == [scored, scored, invalid, invalid], verdict.feedback

    @pytest.mark.parametrize(
        ("tests", "word"),
        [
            ("raise RuntimeError('broken tests')", "broken tests"),
            ("import unittest", "no tests in"),
            (
                f"{HEAD}    def test_a(self):\n        self.skipTest('x')\n",
                "every test was skipped",
            ),
            (f"{HEAD}    def test_a(self):\n        import os; os._exit(3)\n", "exit code 3"),
            (
                f"{HEAD}    def test_a(self):\n        self.metric('x', float('nan'))\n",
                "not a finite",
            ),
            (
                f"{HEAD}    def test_a(self):\n        self.repo._ask({{'op': 'x'}})\n",
                "asked for 'x'",
            ),
        ],
    )
    async def test_broken_tests_are_not_the_candidates_fault(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, tests: str, word: str
    ) -> None:
        verdict = await self.verdict(open_evaluator, tmp_path, SORTER, tests=tests)
        assert verdict.status is Status.EVALUATOR_ERROR
        assert word in verdict.stages[-1].detail
        assert word not in verdict.feedback
