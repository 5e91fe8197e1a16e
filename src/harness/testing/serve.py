"""What the evaluator of served candidates must do, checked for real.

Subclass `ServeContract` and override the fixture `open_evaluator` as for `EvaluatorContract`: it
gets a task of the kind `serve`. Candidates are Python files; hostile ones speak the protocol
themselves, because the process is theirs.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.attempt import Status
from harness.testing.evaluator import SECRET
from harness.testing.evaluator_suite import EvaluatorSuite, OpenEvaluator
from harness.testing.serve_tasks import (
    ANSWERS,
    HONEST,
    HOSTILE,
    RAW,
    TATTLES,
    served,
    write_serve_task,
)


class ServeContract(EvaluatorSuite):
    """The whole contract; one subclass per evaluator or provider."""

    write = staticmethod(write_serve_task)
    submit = staticmethod(served)

    async def test_scores(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdict = await evaluator.evaluate(served(HONEST, seed=7))
        assert (verdict.status, verdict.score) == (Status.SCORED, 56.0)
        assert verdict.feedback == "judged"
        assert 0 < verdict.metrics["s"] < 20
        assert [stage.name for stage in verdict.stages] == ["serve", "judge"]

    async def test_values_go_both_ways(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        values = [
            None, True, 0, -(2**63), 2**63 - 1, 1.5, -0.0, "é\x00", "", b"", b"\x00\xff",
            [], [1, [2, ["x"]]], {}, {"a": {"b": [b"x", 1]}},
        ]  # fmt: skip
        judge = (
            "def judge(candidate, private, seed):\n"
            f"    values = {values!r}\n"
            "    found = [candidate.call('same', value) for value in values]\n"
            "    found += candidate.call('both', *values[:2])\n"
            "    good = repr(found) == repr(values + values[:2])\n"
            "    return {'score': int(good), 'feedback': repr(found)}\n"
        )
        source = "def same(x): return x\ndef both(x, y): return (x, y)\n"
        verdict = await self.verdict(open_evaluator, tmp_path, source, judge=judge)
        assert verdict.score == 1.0, verdict.feedback

    async def test_arrays_go_both_ways(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        judge = (
            "import numpy as np\n"
            "def judge(candidate, private, seed):\n"
            "    arrays = [np.zeros((0, 3)), np.array(2.5), np.arange(6, dtype='>i2')[::2],\n"
            "              np.full((2, 2), np.nan, 'float32'), np.ones(3, 'complex64'),\n"
            "              np.arange(24, dtype='uint8').reshape(2, 3, 4).transpose()]\n"
            "    found = candidate.call('changed', arrays, {'n': 7})\n"
            "    same = all(np.array_equal(a + 1, b, equal_nan=True) and a.shape == b.shape\n"
            "               and a.dtype.newbyteorder('=') == b.dtype\n"
            "               for a, b in zip(arrays, found, strict=True))\n"
            "    return {'score': int(same), 'feedback': repr(found)}\n"
        )
        source = (
            "import numpy as np\n"
            "def changed(arrays, more):\n"
            "    for a in arrays:\n        a += np.ones_like(a)\n"
            "    assert more == {'n': 7}\n    return arrays\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, source, judge=judge)
        assert verdict.score == 1.0, verdict.feedback

    @pytest.mark.slow
    async def test_hostile_candidates(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        command = ["python", "kernel.py"]
        async with self.evaluator(
            open_evaluator, tmp_path, produce=command, timeout_s=8
        ) as evaluator:
            for start in range(0, len(HOSTILE), 4):
                some = HOSTILE[start : start + 4]
                verdicts = await asyncio.gather(
                    *(evaluator.evaluate(served(f"{RAW}\n{each.source}\n")) for each in some)
                )
                for (what, _, status, told), verdict in zip(some, verdicts, strict=True):
                    found = (verdict.status, verdict.feedback)
                    assert (verdict.status, verdict.score) == (status, None), (what, found)
                    assert told in verdict.feedback, (what, found)
                    assert verdict.charged
            assert (await evaluator.evaluate(served(RAW + ANSWERS))).score == 42.0

    async def test_a_candidate_that_closes_its_channel(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = f"{RAW}\nstart(); read(); os.close(0); os.close(1); time.sleep(60)\n"
        verdict = await self.verdict(
            open_evaluator, tmp_path, source, produce=["python", "kernel.py"], call_timeout_s=1
        )
        # Not every provider sees it before the process ends.
        assert verdict.status in (Status.INVALID, Status.TIMEOUT)
        assert verdict.charged

    async def test_prints_do_not_break_the_channel(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = (
            "import os\nprint('{\"score\": 99}')\nos.write(1, b'98')\nos.system('echo 97')\n"
            "def double(x):\n    print('working'); os.system('echo 96'); input_()\n"
            "    return 2 * x\n"
            "def input_():\n    assert os.read(0, 9) == b''\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, source)
        assert (verdict.status, verdict.score) == (Status.SCORED, 42.0)
        assert "96" in verdict.stages[0].detail

    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("def double(x):\n    raise ValueError('too \x1b[31mbad')\n", "ValueError: too"),
            ("def other(x): pass\n", "AttributeError"),
            ("def double(): pass\n", "TypeError"),
            ("def double(x): return {1, 2}\n", "TypeError: a set cannot be sent"),
            ("def double(x): return float('nan')\n", "not a finite number"),
            ("double = 5\n", "TypeError"),
            ("raise ImportError('no such thing')\n", "ImportError: no such thing"),
            ("def double(x): return double(x)\n", "RecursionError"),
            ("import sys\ndef double(x): sys.exit(4)\n", "exit code 4"),
        ],
    )
    async def test_candidates_that_raise(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, source: str, told: str
    ) -> None:
        verdict = await self.verdict(open_evaluator, tmp_path, source)
        assert (verdict.status, verdict.score) == (Status.FAILED, None)
        assert told in verdict.feedback
        assert "\x1b" not in verdict.feedback

    @pytest.mark.parametrize("how", TATTLES)
    @pytest.mark.parametrize("secret", [True, False])
    async def test_what_was_sent_may_be_kept_secret(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, how: str, secret: bool
    ) -> None:
        source = TATTLES[how]
        task: dict[str, Any] = {"produce": ["python", "kernel.py"]} if RAW in source else {}
        verdict = await self.verdict(open_evaluator, tmp_path, source, secret_calls=secret, **task)
        assert ("saw 21" in repr(verdict)) != secret, verdict

    async def test_a_judge_may_deal_with_errors(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        judge = (
            "def judge(candidate, private, seed):\n"
            "    try:\n        candidate.call('bad')\n"
            "    except candidate.Error as error:\n        first = error.type + error.message\n"
            "    try:\n        candidate.call('exit')\n"
            "    except Exception:\n        first = 'caught by accident'\n"
            "    except candidate.Ended as ended:\n        first += ' ' + ended.status\n"
            "    return {'score': 1, 'feedback': first}\n"
        )
        source = "import os\ndef bad(): 1 / 0\ndef exit(): os._exit(1)\n"
        verdict = await self.verdict(open_evaluator, tmp_path, source, judge=judge)
        assert verdict.feedback == "ZeroDivisionErrordivision by zero failed"

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (f"raise RuntimeError('{SECRET}')", "RuntimeError"),
            ("return 'garbage'", "garbage"),
            ("import os; os._exit(0)", "not strict JSON"),
            ("import sys; sys.exit(3)", "SystemExit"),
            ("candidate.call('double', object())", "cannot be sent"),
            ("candidate.baseline.call('double', 1)", "NoneType"),
            ("candidate._channel.send({'op': 'call', 'to': 'nobody'}); input()", "nobody"),
        ],
    )
    async def test_bad_judges(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, body: str, told: str
    ) -> None:
        judge = f"def judge(candidate, private, seed):\n    {body}\n"
        verdict = await self.verdict(open_evaluator, tmp_path, HONEST, judge=judge)
        assert verdict.status is Status.EVALUATOR_ERROR
        assert not verdict.charged
        assert SECRET not in verdict.feedback
        assert told in verdict.stages[-1].detail

    @pytest.mark.slow
    async def test_a_judge_that_never_ends(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        judge = "def judge(candidate, private, seed):\n    while True: pass\n"
        verdict = await self.verdict(
            open_evaluator, tmp_path, HONEST, judge=judge, judge_timeout_s=0.5, timeout_s=0.5
        )
        assert verdict.status is Status.EVALUATOR_ERROR
        assert "timeout" in verdict.stages[-1].detail

    async def test_a_judge_refuses(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        judge = (
            "def judge(candidate, private, seed):\n"
            "    print('not an answer')\n"
            "    return {'score': None, 'feedback': (private / 'truth.txt').read_text()[:3]}\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, HONEST, judge=judge)
        assert (verdict.status, verdict.feedback) == (Status.INVALID, SECRET[:3])

    @pytest.mark.slow
    async def test_time_is_the_candidates_own(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        """A slow judge is not held against the candidate; its calls together are."""
        judge = (
            "import time\ndef judge(candidate, private, seed):\n    time.sleep(1.5)\n"
            "    n = 0\n    while True:\n        candidate.call('wait'); n += 1\n"
            "        if n == 3: time.sleep(1)\n"
        )
        source = "import time\ndef wait(): time.sleep(0.1)\n"
        verdict = await self.verdict(
            open_evaluator, tmp_path, source, judge=judge, timeout_s=1.2, call_timeout_s=1
        )
        assert verdict.status is Status.TIMEOUT
        assert "1.2 s in all" in verdict.feedback

    async def test_one_call_has_a_limit(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = "import time\ndef double(x): time.sleep(60)\n"
        verdict = await self.verdict(open_evaluator, tmp_path, source, call_timeout_s=0.3)
        assert verdict.status is Status.TIMEOUT
        assert "no answer to double within 0.3 s" in verdict.feedback

    async def test_held_values(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        judge = (
            "import numpy as np\ndef judge(candidate, private, seed):\n"
            "    held = [candidate.hold('make', n) for n in (3, 4)]\n"
            "    second, first = (each.fetch() for each in reversed(held))\n"
            "    return {'score': first[0].sum() + 10 * second[1].sum()}\n"
        )
        source = (
            "import numpy as np\ndef make(n): return [np.full(n, n, 'float32'), np.arange(n)]\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, source, judge=judge)
        assert verdict.score == 9.0 + 10 * 6.0

    async def test_broken_promises(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        """What was not computed when the hash was sent does not become the value afterwards."""
        judge = (
            "def judge(candidate, private, seed):\n"
            "    return {'score': candidate.hold('make').fetch()[0]}\n"
        )
        source = (
            f"{RAW}\nstart(); a = read(); send(frame({{'id': a['id'], 'value': '0' * 64}}))\n"
            "form = {'__array__': ['uint8', 1]}\n"
            "send(frame({'id': read()['id'], 'value': form}, b'c')); time.sleep(60)\n"
        )
        verdict = await self.verdict(
            open_evaluator, tmp_path, source, judge=judge, produce=["python", "kernel.py"]
        )
        assert verdict.status is Status.INVALID
        assert "not the one promised" in verdict.feedback

    async def test_the_candidate_finds_its_submission_only(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = (
            "import os, sys\nfound = sorted(os.listdir('.'))\nnear = sorted(os.listdir('..'))\n"
            "raise RuntimeError(f'{found} {near} {dict(os.environ)} {sorted(sys.modules)}')\n"
        )
        async with self.evaluator(open_evaluator, tmp_path, baseline=HONEST) as evaluator:
            verdict = await evaluator.evaluate(served(source, {"more/notes.txt": "x"}))
        assert "['harness_serve.py', 'kernel.py', 'more']" in verdict.feedback
        for word in ("judge", "truth", SECRET, "private", "baseline", "'numpy'"):
            assert word not in verdict.feedback

    @pytest.mark.parametrize("name", ["harness_serve.py", "harness_serve.py/x", "harness_serve/x"])
    async def test_a_submission_with_a_server_of_its_own(
        self, open_evaluator: OpenEvaluator, tmp_path: Path, name: str
    ) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdict = await evaluator.evaluate(served(HONEST, {name: "print(99)"}))
        # Overwritten, or not a module that runs: never a score that it made.
        assert (verdict.status, verdict.score) in ((Status.SCORED, 42.0), (Status.FAILED, None))

    async def test_nothing_is_left_for_the_next(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = (
            "import tempfile\nfrom pathlib import Path\nseen = 0\n"
            "for folder in {Path.home(), Path(tempfile.gettempdir()), Path.cwd()}:\n"
            "    mark = folder / 'mark'\n    seen += mark.exists()\n    mark.write_text('x')\n"
            "def double(x): return seen\n"
        )
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            scores = [(await evaluator.evaluate(served(source))).score for _ in range(2)]
        assert scores == [0.0, 0.0]

    @pytest.mark.slow
    async def test_a_baseline_has_a_sandbox_of_its_own(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        """One runs at a time: what the candidate counts meanwhile stands still."""
        judge = (
            "import time\ndef judge(candidate, private, seed):\n"
            "    marks = [candidate.call('mark'), candidate.baseline.call('mark')]\n"
            "    before = candidate.call('ticks')\n"
            "    candidate.baseline.wake()\n    time.sleep(0.5)\n"
            "    after = candidate.call('ticks')\n"
            "    time.sleep(0.5)\n"
            "    later = candidate.call('ticks')\n"
            "    return {'score': later - after, 'metrics': {'still': after - before},\n"
            "            'feedback': repr(marks)}\n"
        )
        source = (
            "import threading, time\nfrom pathlib import Path\ncount = 0\n"
            "def run():\n    global count\n"
            "    while True:\n        count += 1; time.sleep(0.01)\n"
            "threading.Thread(target=run, daemon=True).start()\n"
            "def mark():\n    seen = Path('mark').exists(); Path('mark').touch(); return seen\n"
            "def ticks(): return count\n"
        )
        verdict = await self.verdict(open_evaluator, tmp_path, source, judge=judge, baseline=source)
        assert verdict.feedback == "[False, False]"
        assert verdict.score is not None
        assert verdict.score >= 10
        assert verdict.metrics["still"] <= 8

    async def test_a_baseline_that_fails_is_the_tasks_fault(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        judge = (
            "def judge(candidate, private, seed):\n"
            "    return {'score': candidate.baseline.call('double', 1)}\n"
        )
        baseline = "def double(x): raise ValueError('no')\n"
        verdict = await self.verdict(
            open_evaluator, tmp_path, HONEST, judge=judge, baseline=baseline
        )
        assert verdict.status is Status.EVALUATOR_ERROR
        assert "the baseline: ValueError: no" in verdict.stages[-1].detail

    async def test_side_by_side(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            verdicts = await asyncio.gather(
                *(evaluator.evaluate(served(HONEST, seed=seed)) for seed in range(4)),
                evaluator.evaluate(served("exit(1)")),
            )
        assert [verdict.score for verdict in verdicts] == [42.0, 44.0, 46.0, 48.0, None]

    async def test_try_out(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        """The task's own command loads the file and ends; other commands run as for candidates."""
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            command = ["python", "-m", "harness_serve", "kernel.py"]
            good = await evaluator.try_out(served(HONEST), command, timeout_s=10)
            bad = await evaluator.try_out(served("1 / 0"), command, timeout_s=10)
            own = await evaluator.try_out(
                served(HONEST), ["python", "-c", "import kernel; print(kernel.double(4))"],
                timeout_s=10,
            )  # fmt: skip
        assert good.ok
        assert b"ZeroDivisionError" in bad.stderr
        assert own.stdout == b"8\n"

    async def test_cancelled(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path) as evaluator:
            await evaluator.evaluate(served(HONEST))
            slow = served("import time\ndef double(x): time.sleep(60)\n")
            running = asyncio.create_task(evaluator.evaluate(slow))
            await asyncio.sleep(0.3)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert (await evaluator.evaluate(served(HONEST))).score == 42.0

    async def test_repeats(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        async with self.evaluator(open_evaluator, tmp_path, repeats=3) as evaluator:
            verdict = await evaluator.evaluate(served(HONEST))
        assert verdict.score == 44.0
        assert (verdict.metrics["score_min"], verdict.metrics["score_max"]) == (42.0, 46.0)
