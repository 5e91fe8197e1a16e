"""What every evaluator must do, checked for real.

Subclass `EvaluatorContract` and override the fixture `open_evaluator`: it gets a task of the kind
`answer` and returns an evaluator that the suite closes. Candidates and judges are Python programs.
"""

import asyncio
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.attempt import NOT_CHARGED, Status
from harness.evaluators.base import EvaluationJob
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.base import ExecEnd
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.loader import load_task
from harness.testing.evaluator_suite import EvaluatorSuite, OpenEvaluator

SECRET = "the-private-answer"

JUDGE = """
import json
def judge(outputs, private, seed):
    answer = json.loads((outputs / "answer.json").read_text())
    return {"score": answer["value"], "metrics": {"seed": seed}, "feedback": "judged"}
"""

SEEING_JUDGE = """
def judge(outputs, private, seed):
    folder = outputs / "submission"
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {"score": 1, "feedback": f"{names} {(outputs / 'printed.txt').read_text().strip()}"}
"""

ANSWER = "import json; json.dump({'value': %s}, open('answer.json', 'w'))\n"

BAD_CANDIDATES: tuple[tuple[str, Status, str], ...] = (
    ("import sys; print('why', file=sys.stderr); sys.exit(1)", Status.FAILED, "why"),
    ("raise ValueError('too bad')", Status.FAILED, "ValueError: too bad"),
    ("import os; os.kill(os.getpid(), 9)", Status.FAILED, "the command"),
    ("import os; os.write(2, b'\\x1b[31mred\\xff'); exit(1)", Status.FAILED, "red\ufffd"),
    ("for _ in range(100): print('x' * 10**6)", Status.OUTPUT_LIMIT, "output"),
    (ANSWER % "float('nan')", Status.INVALID, "not a finite number"),
    (ANSWER % "float('inf')", Status.INVALID, "not a finite number"),
    (ANSWER % "10**400", Status.INVALID, "not a finite number"),
    ("pass", Status.INVALID, "answer.json was not written"),
    ("import os; os.symlink('/etc/passwd', 'answer.json')", Status.INVALID, "not a regular file"),
    ("import os; os.mkfifo('answer.json')", Status.INVALID, "not a regular file"),
    ("import os; os.mkdir('answer.json')", Status.INVALID, "not a regular file"),
    ("open('answer.json', 'w').truncate(2**21)", Status.INVALID, "exceed 1048576 bytes"),
)
"""Source of a candidate, the status it must get, and a word of the feedback."""


def write_task(
    folder: Path,
    *,
    judge: str = JUDGE,
    python: Sequence[str] = (),
    setup: Sequence[str] = (),
    **evaluator: Any,
) -> Task:
    """A task whose seed writes 1 as its answer; `evaluator` overrides keys of that section."""
    for name in ("seed", "evaluator", "private"):
        (folder / name).mkdir(parents=True)
    spec = {
        "produce": ["python", "solve.py"],
        "outputs": ["answer.json"],
        "judge": "judge.py:judge",
        "timeout_s": 20,
        "judge_timeout_s": 20,
        "max_output_bytes": 1024 * 1024,
        **evaluator,
    }
    file = {
        "name": "contract",
        "description": "Write a number.",
        "direction": "maximize",
        "evaluator": spec,
        "limits": {"pids": 64, "memory": "512MiB"},
        "environment": {"python": list(python), "setup": list(setup)},
    }
    (folder / "task.yaml").write_text(json.dumps(file), encoding="utf-8")
    (folder / "seed" / "solve.py").write_text(ANSWER % 1, encoding="utf-8")
    (folder / "evaluator" / "judge.py").write_text(judge, encoding="utf-8")
    (folder / "private" / "truth.txt").write_text(SECRET, encoding="utf-8")
    return load_task(folder)


def write_wheel(folder: Path) -> Path:
    """A package `harness-probe` 1.0 with a module `harness_probe`, for indexes that are folders."""
    folder.mkdir(parents=True)
    info = "harness_probe-1.0.dist-info"
    path = folder / "harness_probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("harness_probe.py", "VALUE = 42\n")
        metadata = "Metadata-Version: 2.1\nName: harness-probe\nVersion: 1.0\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        wheel.writestr(f"{info}/RECORD", "")
    return path


def job(source: str, more: Mapping[str, str] | None = None, *, seed: int = 0) -> EvaluationJob:
    """A submission of `solve.py` and `more` files."""
    texts = {"solve.py": source, **(more or {})}
    files = {name: TreeFile(text.encode()) for name, text in texts.items()}
    return EvaluationJob(AttemptId("1"), FilesSubmission(files), seed)


class EvaluatorContract(EvaluatorSuite):
    """The whole contract; one subclass per evaluator or provider."""

    write = staticmethod(write_task)
    submit = staticmethod(job)

    async def test_a_judge_may_see_what_was_printed_and_submitted(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        words = {"judge": SEEING_JUDGE, "judge_sees": ["printed", "submission"]}
        source = "import sys; print('said'); print('warned', file=sys.stderr)\n" + ANSWER % 1
        async with self.evaluator(open_evaluator, tmp_path, **words) as evaluator:
            verdict = await evaluator.evaluate(job(source, {"part/note.txt": "a note"}))
        assert verdict.feedback == "['part/note.txt', 'solve.py'] said", verdict

    async def test_scores(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdict = await evaluator.evaluate(job(ANSWER % 2.5, seed=7))
        assert (verdict.status, verdict.score) == (Status.SCORED, 2.5)
        assert (dict(verdict.metrics), verdict.feedback) == ({"seed": 7.0}, "judged")
        assert [stage.name for stage in verdict.stages] == ["produce", "judge"]
        assert 0 < sum(stage.duration_s for stage in verdict.stages) <= verdict.duration_s

    async def test_bad_candidates(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdicts = await asyncio.gather(
                *(evaluator.evaluate(job(source)) for source, _, _ in BAD_CANDIDATES)
            )
        for (source, status, told), verdict in zip(BAD_CANDIDATES, verdicts, strict=True):
            assert (verdict.status, verdict.score) == (status, None), source
            assert told in verdict.feedback, source
            assert "root:" not in verdict.feedback
            assert "\x1b" not in verdict.feedback
            assert len(verdict.feedback.encode()) <= 4096
            assert verdict.charged

    async def test_stages_come_first(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        judge = (
            f"{JUDGE}\n\ndef count(*given):\n    return {{'score': 2 * judge(*given)['score']}}\n"
        )
        loud = ANSWER % 5 + "import sys; sys.exit(len(sys.argv) == 1)\n"
        stages = [
            {"name": "quick", "threshold": 4, "evaluator": {"judge": "judge.py:count"}},
            {
                "name": "short",
                "threshold": 2,
                "evaluator": {"produce": ["python", "solve.py", "-s"]},
            },
        ]
        async with self.evaluator(
            open_evaluator, tmp_path, judge=judge, stages=stages
        ) as evaluator:
            low, edge, failing = [
                await evaluator.evaluate(job(source)) for source in (ANSWER % 1.5, ANSWER % 2, loud)
            ]
        assert (low.status, low.score, low.metrics) == (Status.INVALID, None, {})
        assert low.feedback == "Stage quick: 3 does not reach 4."
        assert [stage.name for stage in low.stages] == ["quick: produce", "quick: judge"]
        assert (edge.status, edge.score) == (Status.SCORED, 2.0)
        assert [stage.name for stage in edge.stages][2:] == [
            "short: produce", "short: judge", "produce", "judge"
        ]  # fmt: skip
        assert edge.duration_s >= sum(stage.duration_s for stage in edge.stages)
        # It fails where it has no arguments: in the first stage, whose verdict is the last.
        assert (failing.status, len(failing.stages)) == (Status.FAILED, 1)

    async def test_never_ends(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        source = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(1)"
        verdict = await self.verdict(open_evaluator, tmp_path, source, timeout_s=1)
        assert verdict.status is Status.TIMEOUT

    async def test_forks(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        source = "import os, time\nfor _ in range(500):\n    if not os.fork(): time.sleep(60)\n"
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdict = await evaluator.evaluate(job(source + "time.sleep(60)"))
            assert verdict.status is Status.PIDS
            assert (await evaluator.evaluate(job(ANSWER % 3))).score == 3.0

    async def test_unknown_program(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        verdict = await self.verdict(open_evaluator, tmp_path, "", produce=["no-such-program"])
        assert verdict.status is Status.FAILED

    @pytest.mark.parametrize(
        "body",
        [
            f"raise RuntimeError('{SECRET}')",
            "return 'garbage'",
            "return {'score': True}",
            "import os; os._exit(0)",
            "import sys; sys.exit(3)",
        ],
    )
    async def test_bad_judges(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, body: str
    ) -> None:
        judge = f"def judge(outputs, private, seed):\n    {body}\n"
        verdict = await self.verdict(open_evaluator, tmp_path, ANSWER % 1, judge=judge)
        assert verdict.status is Status.EVALUATOR_ERROR
        assert verdict.status in NOT_CHARGED
        assert "not the fault of the submission" in verdict.feedback
        assert SECRET not in verdict.feedback
        assert verdict.stages[1].detail

    async def test_judge_that_never_ends(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        judge = "def judge(outputs, private, seed):\n    while True: pass\n"
        verdict = await self.verdict(
            open_evaluator, tmp_path, ANSWER % 1, judge=judge, judge_timeout_s=1
        )
        assert verdict.status is Status.EVALUATOR_ERROR
        assert "timeout" in verdict.stages[1].detail

    async def test_judge_that_prints_first(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        judge = (
            "import os\nprint('{\"score\": 99}')\nos.system('echo 98')\n"
            "def judge(outputs, private, seed):\n    print(97)\n    return {'score': 1.5}\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, ANSWER % 1, judge=judge)
        assert (verdict.status, verdict.score) == (Status.SCORED, 1.5)
        assert "99" in verdict.stages[1].detail

    async def test_judge_refuses(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        judge = (
            "def judge(outputs, private, seed):\n"
            "    text = (private / 'truth.txt').read_text()\n"
            "    files = sorted(p.name for p in outputs.iterdir())\n"
            "    return {'score': None, 'feedback': f'{len(text)} {files}'}\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, ANSWER % 1, judge=judge)
        assert verdict.status is Status.INVALID
        assert verdict.feedback == f"{len(SECRET)} ['answer.json']"

    async def test_candidate_finds_its_submission_only(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = (
            "import os, sys\nfound = sorted(os.listdir('.'))\nnear = sorted(os.listdir('..'))\n"
            "print(found, near, dict(os.environ), file=sys.stderr)\nsys.exit(1)\n"
        )
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            submission = job(source, {"more/notes.txt": "x"})
            verdict = await evaluator.evaluate(submission)
        assert "['more', 'solve.py']" in verdict.feedback
        for word in ("judge", "truth", SECRET, "private", "evaluator"):
            assert word not in verdict.feedback

    async def test_modules_of_the_candidate_stay_out_of_the_judge(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        fake = "raise SystemExit('shadowed')"
        shadows: dict[str, str] = dict.fromkeys(
            ("sitecustomize.py", "pathlib.py", "judge.py"), fake
        )
        source = "open('answer.json', 'w').write('{\"value\": 4}')"
        outputs = ["answer.json", "pathlib.py", "sitecustomize.py"]
        async with self.evaluator(open_evaluator, tmp_path, outputs=outputs) as evaluator:
            verdict = await evaluator.evaluate(job(source, shadows))
        assert verdict.score == 4.0

    async def test_nothing_is_left_for_the_next(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = (
            "import os, tempfile\nfrom pathlib import Path\nseen = 0\n"
            "for folder in {Path.home(), Path(tempfile.gettempdir()), Path.cwd()}:\n"
            "    mark = folder / 'mark'\n    seen += mark.exists()\n    mark.write_text('x')\n"
        )
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            scores = [
                (await evaluator.evaluate(job(source + ANSWER % "seen"))).score for _ in range(2)
            ]
        assert scores == [0.0, 0.0]

    async def test_side_by_side(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdicts = await asyncio.gather(
                *(evaluator.evaluate(job(ANSWER % number)) for number in range(4)),
                evaluator.evaluate(job("exit(1)")),
            )
        assert [verdict.score for verdict in verdicts] == [0.0, 1.0, 2.0, 3.0, None]

    async def test_try_out(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        """A trial sees the submission and nothing private, scores nothing and leaves nothing."""
        files = {"a.txt": TreeFile(b"hello ")}
        trial = EvaluationJob(AttemptId("try"), FilesSubmission(files))
        command = "cat a.txt; echo made > b.txt; ls; exit 3"
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            for _ in range(2):
                result = await evaluator.try_out(trial, ["sh", "-c", command], timeout_s=10.0)
                assert (result.end, result.exit_code) == (ExecEnd.EXITED, 3)
                assert result.stdout.split() == [b"hello", b"a.txt", b"b.txt"]
            slow = await evaluator.try_out(trial, ["sleep", "30"], timeout_s=0.5)
        assert slow.end is ExecEnd.TIMEOUT

    async def test_cancelled(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            await evaluator.evaluate(job(ANSWER % 1))
            running = asyncio.create_task(evaluator.evaluate(job("import time; time.sleep(60)")))
            await asyncio.sleep(0.3)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert (await evaluator.evaluate(job(ANSWER % 5))).score == 5.0

    async def test_repeats(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        judge = "def judge(outputs, private, seed):\n    return {'score': (seed - 3) ** 2}\n"
        async with self.evaluator(open_evaluator, tmp_path, judge=judge, repeats=3) as evaluator:
            verdict = await evaluator.evaluate(job(ANSWER % 1, seed=4))
        assert verdict.score == 4.0
        assert (verdict.metrics["score_min"], verdict.metrics["score_max"]) == (1.0, 9.0)
        assert len(verdict.stages) == 6

    async def test_closing_twice(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            await evaluator.evaluate(job(ANSWER % 1))
            await evaluator.close()
