"""What must hold where sandboxes of candidates are started ahead."""

import asyncio
from pathlib import Path

from harness.attempt import Status
from harness.testing.evaluator import ANSWER, job, write_task
from harness.testing.evaluator_suite import OpenEvaluator

LEAVES_TRACES = """
import json, os
found = [name for name in ("/tmp/trace", "trace") if os.path.exists(name)]
for name in ("/tmp/trace", "trace"):
    open(name, "w").write("I was here")
json.dump({"value": len(found)}, open("answer.json", "w"))
"""


class PrestartedChecks:
    """Mixed into a class with the fixture `open_evaluator` that starts two ahead."""

    async def test_each_is_used_once(self, open_evaluator: OpenEvaluator, tmp_path: Path) -> None:
        evaluator = open_evaluator(write_task(tmp_path / "task"))
        try:
            for _ in range(2):
                verdicts = await asyncio.gather(
                    *(evaluator.evaluate(job(LEAVES_TRACES)) for _ in range(4))
                )
                assert [verdict.score for verdict in verdicts] == [0.0] * 4
        finally:
            await evaluator.close()

    async def test_files_belong_to_the_candidate(
        self, open_evaluator: OpenEvaluator, tmp_path: Path
    ) -> None:
        source = (
            "import os, json\n"
            "os.rename('deep/er/file', 'moved'); open('moved', 'a').write('x')\n"
            "other = os.stat('solve.py').st_uid - os.getuid()\n"
            "json.dump({'value': other}, open('answer.json', 'w'))\n"
        )
        evaluator = open_evaluator(write_task(tmp_path / "task"))
        try:
            await evaluator.evaluate(job(ANSWER % 1))
            await asyncio.sleep(1)
            verdict = await evaluator.evaluate(job(source, {"deep/er/file": "text"}))
        finally:
            await evaluator.close()
        assert (verdict.status, verdict.score) == (Status.SCORED, 0.0), verdict.feedback
