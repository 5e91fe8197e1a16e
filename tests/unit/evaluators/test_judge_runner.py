"""The judge runner and the reading of its answer, as two processes with a pipe between."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import EvaluatorFailedError
from harness.evaluators.judge_answer import Judged, judged
from harness.evaluators.judge_files import RUNNER
from harness.sandbox.base import ExecEnd, ExecResult


def run(folder: Path, source: str) -> ExecResult:
    file = folder / "judge.py"
    file.write_text(source, encoding="utf-8")
    paths = [str(RUNNER), str(file), "judge", str(folder), str(folder)]
    argv = [sys.executable, "-I", "-B", *paths, "7"]
    ended = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    return ExecResult(ExecEnd.EXITED, ended.returncode, ended.stdout, ended.stderr, 0.0)


def answers(folder: Path, expression: str, before: str = "") -> Judged:
    source = f"import os, sys, math\n{before}\ndef judge(outputs, private, seed):\n"
    return judged(run(folder, f"{source}    return {expression}\n"))


def test_plain_answer(tmp_path: Path) -> None:
    found = answers(tmp_path, '{"score": 2, "metrics": {"n": 1}, "feedback": "fine"}')
    assert (found.score, found.metrics, found.feedback) == (2.0, {"n": 1.0}, "fine")


def test_arguments(tmp_path: Path) -> None:
    found = answers(tmp_path, '{"score": seed, "feedback": f"{outputs.is_dir()} {private.name}"}')
    assert (found.score, found.feedback) == (7.0, f"True {tmp_path.name}")


def test_what_the_judge_prints_is_no_answer(tmp_path: Path) -> None:
    before = 'print(\'{"score": 99}\'); os.write(1, b\'{"score": 98}\'); os.system("echo 97")'
    found = answers(tmp_path, '{"score": 1.5}', before)
    assert found.score == 1.5
    assert all(text in found.detail for text in ("99", "98", "97"))


def test_helpers_beside_the_judge_are_importable(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("VALUE = 3", encoding="utf-8")
    assert answers(tmp_path, '{"score": helper.VALUE}', "import helper").score == 3.0


def test_dataclasses_find_their_module(tmp_path: Path) -> None:
    before = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass A:\n    x: int\n"
    )
    source = f"{before}\ndef judge(outputs, private, seed):\n    return {{'score': A(4).x}}\n"
    assert judged(run(tmp_path, source)).score == 4.0


def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    before = "import numpy"
    assert answers(tmp_path, '{"score": numpy.float32(0.5)}', before).score == 0.5
    assert answers(tmp_path, '{"score": numpy.int64(3)}', before).score == 3.0
    with pytest.raises(EvaluatorFailedError, match="not a number"):
        answers(tmp_path, '{"score": numpy.bool_(True)}', before)


def test_none_refuses(tmp_path: Path) -> None:
    found = answers(tmp_path, '{"score": None, "feedback": "overlap"}')
    assert (found.score, found.feedback) == (None, "overlap")


@pytest.mark.parametrize(
    "answer",
    [
        '{"score": math.nan}',
        '{"score": math.inf}',
        '{"score": -math.inf}',
        '{"score": 10**400}',
        '{"score": 10**5000}',
        '{"score": 1.0, "metrics": {"ratio": math.inf}}',
    ],
)
def test_what_is_not_finite_is_refused(tmp_path: Path, answer: str) -> None:
    found = answers(tmp_path, answer)
    assert found.score is None
    assert "not a finite number" in found.feedback


@pytest.mark.parametrize(
    "answer",
    [
        "None",
        "1.0",
        "{}",
        '{"score": True}',
        '{"score": "1"}',
        '{"score": [1]}',
        '{"score": 1j}',
        '{"score": 1.0, "extra": 2}',
        '{"score": 1.0, "metrics": [1]}',
        '{"score": 1.0, "metrics": {"a": "b"}}',
        '{"score": 1.0, "metrics": {"a": True}}',
        '{"score": 1.0, "feedback": 5}',
        "1 / 0",
        "sys.exit(0)",
        "sys.exit('gone')",
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "undefined_name",
    ],
)
def test_nonsense_is_the_evaluators_failure(tmp_path: Path, answer: str) -> None:
    with pytest.raises(EvaluatorFailedError):
        answers(tmp_path, answer)


def test_a_traceback_reaches_the_author(tmp_path: Path) -> None:
    with pytest.raises(EvaluatorFailedError, match=r"(?s)judge\.py.*ZeroDivisionError"):
        answers(tmp_path, "1 / 0")


def test_writing_to_the_answers_channel_spoils_the_answer(tmp_path: Path) -> None:
    forged = "[os.write(fd, b'{\"score\": 9}') for fd in range(3, 10) if not _fails(fd)]"
    before = (
        "def _fails(fd):\n    try: os.fstat(fd)\n    except OSError: return True\n"
        f"def forge():\n    {forged}\n    return 1.0\n"
    )
    with pytest.raises(EvaluatorFailedError, match="strict JSON"):
        answers(tmp_path, '{"score": forge()}', before)


@pytest.mark.parametrize(
    ("end", "code", "stdout"),
    [
        (ExecEnd.TIMEOUT, -9, b""),
        (ExecEnd.OUT_OF_MEMORY, 0, b'{"score": 1.0, "metrics": {}, "feedback": ""}'),
        (ExecEnd.EXITED, 1, b'{"score": 1.0, "metrics": {}, "feedback": ""}'),
        (ExecEnd.EXITED, 0, b""),
        (ExecEnd.EXITED, 0, b'{"score": NaN, "metrics": {}, "feedback": ""}'),
        (ExecEnd.EXITED, 0, b'{"score": 1.0, "metrics": {}}'),
        (ExecEnd.EXITED, 0, b'{"score": true, "metrics": {}, "feedback": ""}'),
        (ExecEnd.EXITED, 0, b'{"score": "1", "metrics": {}, "feedback": ""}'),
        (ExecEnd.EXITED, 0, b'{"score": 1, "metrics": {"a": null}, "feedback": ""}'),
        (ExecEnd.EXITED, 0, b'{"score": 1, "score": 2, "metrics": {}, "feedback": ""}'),
        (ExecEnd.EXITED, 0, b"[1]"),
    ],
)
def test_answers_that_are_none(end: ExecEnd, code: int, stdout: bytes) -> None:
    with pytest.raises(EvaluatorFailedError):
        judged(ExecResult(end, code, stdout, b"", 0.0))


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" + b"0" * 400, b"9" * 5000])
def test_raw_numbers_beyond_floats_are_refused(number: bytes) -> None:
    stdout = b'{"score": %s, "metrics": {}, "feedback": ""}' % number
    assert judged(ExecResult(ExecEnd.EXITED, 0, stdout, b"", 0.0)).score is None
