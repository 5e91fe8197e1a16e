"""What the evaluator of one-phase tasks must do, checked for real.

Subclass `OnePhaseContract` and override the fixture `open_evaluator` as for `EvaluatorContract`: it
gets a task of the kind `one_phase`, whose evaluator imports the candidate.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.attempt import Status
from harness.evaluators.one_phase import RISK
from harness.sandbox.base import ExecEnd
from harness.tasks.base import Task
from harness.tasks.loader import load_task
from harness.testing.evaluator import SECRET, job
from harness.testing.evaluator_suite import EvaluatorSuite, OpenEvaluator

EVALUATOR = """
import importlib.util

def evaluate(submission, private, seed):
    spec = importlib.util.spec_from_file_location("candidate", submission / "solve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"score": module.answer() + seed, "metrics": {"m": 2}, "feedback": "evaluated"}
"""

FORGED = '{\\"score\\": 99, \\"metrics\\": {}, \\"feedback\\": \\"\\"}'
PRINTS = f'print("{FORGED}", flush=True)'

REFUSED: Mapping[str, tuple[str, Status, str]] = {
    "prints and exits": (f"import os; {PRINTS}; os._exit(0)", Status.FAILED, "exit code 0"),
    "prints and raises SystemExit": (f"{PRINTS}; exit(0)", Status.FAILED, "SystemExit"),
    "writes every descriptor": (
        (
            "import os\nfor fd in range(0, 64):\n"
            f"    try: os.write(fd, b'{FORGED}'.replace(b'\\\\', b''))\n    except OSError: pass\n"
            "os._exit(0)"
        ),
        Status.FAILED,
        "before it returned",
    ),
    "writes descriptors and goes on": (
        (
            "import os\nfor fd in range(3, 64):\n"
            "    try: os.write(fd, b'{}')\n    except OSError: pass\n"
            "def answer(): return 99\n"
        ),
        Status.FAILED,
        "before it returned",
    ),
    "kills its parent": (
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\ndef answer(): return 1\n",
        Status.FAILED,
        "the evaluation",
    ),
    "opens what its parent has open": (
        (
            "import os, glob\n"
            "parent = f'/proc/{os.getppid()}'\n"
            "for path in [*glob.glob(parent + '/fd/*'), parent + '/fd/1']:\n"
            "    try:\n        file = open(path, 'wb')\n        file.write(b'x'); file.flush()\n"
            "    except OSError: pass\n"
            "    else: raise SystemExit('opened ' + path)\n"
            "open(f'/proc/{os.getppid()}/mem', 'r+b')\n"
        ),
        Status.FAILED,
        "PermissionError",
    ),
    "leaves a writer behind": (
        (
            "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(30); os._exit(0)\n"
            "raise ValueError('my own mistake')\n"
        ),
        Status.FAILED,
        "my own mistake",
    ),
    "raises": ("raise ValueError('my own mistake')", Status.FAILED, "my own mistake"),
    "no number": ("def answer(): return 'x'", Status.FAILED, "TypeError"),
    "not finite": ("def answer(): return float('nan')", Status.INVALID, "not a finite"),
    "sleeps": ("import time; time.sleep(60)", Status.TIMEOUT, "timeout"),
}
"""Source of a candidate, the status it must get, and a word of the feedback."""


def write_one_phase_task(folder: Path, *, evaluator: str = EVALUATOR, **keys: Any) -> Task:
    """A task whose seed answers 1; `keys` override those of the section `evaluator`."""
    for name in ("seed", "evaluator", "private"):
        (folder / name).mkdir(parents=True)
    file = {
        "name": "contract",
        "description": "Return a number.",
        "direction": "maximize",
        "evaluator": {
            "kind": "one_phase",
            "judge": "evaluator.py:evaluate",
            "timeout_s": 20,
            "max_output_bytes": 1024 * 1024,
            **keys,
        },
        "limits": {"pids": 64, "memory": "512MiB"},
    }
    (folder / "task.yaml").write_text(json.dumps(file), encoding="utf-8")
    (folder / "seed" / "solve.py").write_text("def answer(): return 1\n", encoding="utf-8")
    (folder / "evaluator" / "evaluator.py").write_text(evaluator, encoding="utf-8")
    (folder / "private" / "truth.txt").write_text(SECRET, encoding="utf-8")
    return load_task(folder)


class OnePhaseContract(EvaluatorSuite):
    """The whole contract; one subclass per evaluator or provider."""

    write = staticmethod(write_one_phase_task)
    submit = staticmethod(job)

    async def test_scores_and_is_marked(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdict = await evaluator.evaluate(job("print('loud')\ndef answer(): return 3", seed=4))
        assert (verdict.status, verdict.score) == (Status.SCORED, 7.0)
        assert verdict.metrics == {"m": 2}
        assert verdict.feedback == "evaluated"
        assert [stage.name for stage in verdict.stages] == ["in_process"]
        assert verdict.stages[0].detail == f"loud\n{RISK}"

    async def test_refused(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path, timeout_s=4) as evaluator:
            for name, (source, status, word) in REFUSED.items():
                verdict = await evaluator.evaluate(job(source))
                assert (verdict.status, verdict.score) == (status, None), (name, verdict)
                assert word in verdict.feedback, (name, verdict.feedback)
            honest = await evaluator.evaluate(job("def answer(): return 2"))
        assert honest.score == 2.0

    async def test_each_evaluation_has_its_own_copies(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = (
            "import pathlib, sys\n"
            "for path in map(pathlib.Path, [*sys.path, '/evaluator', '/private', '/runner']):\n"
            "    for name in ['evaluator.py', 'judge_runner.py', 'truth.txt']:\n"
            "        try: (path / name).write_text('raise SystemExit(9)')\n"
            "        except OSError: pass\n"
            "def answer(): return 1\n"
        )
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            await evaluator.evaluate(job(source))
            verdict = await evaluator.evaluate(job("def answer(): return 2"))
        assert verdict.score == 2.0

    async def test_a_broken_evaluator_is_told_from_a_broken_candidate(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        verdict = await self.verdict(
            open_evaluator, tmp_path, "def answer(): return 1", evaluator="import nothing_there\n"
            "def evaluate(submission, private, seed): ...\n",
        )  # fmt: skip
        assert verdict.status is Status.EVALUATOR_ERROR
        assert "nothing_there" in verdict.stages[-1].detail

    async def test_commands_of_agents_see_nothing_private(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            argv = ["sh", "-c", "cat /private/* /evaluator/* 2>/dev/null; ls"]
            ended = await evaluator.try_out(job("x = 1"), argv, timeout_s=10)
        assert (ended.end, ended.stdout) == (ExecEnd.EXITED, b"solve.py\n")
