"""Tasks and candidates of the kind `serve`, honest and hostile, for the contract suite."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.attempt import Status
from harness.evaluators.base import EvaluationJob
from harness.evaluators.submission import FilesSubmission
from harness.ids import AttemptId
from harness.sandbox.tree import TreeFile
from harness.tasks.base import Task
from harness.tasks.loader import load_task
from harness.testing.evaluator import SECRET

JUDGE = """
def judge(candidate, private, seed):
    value = candidate.call("double", 21 + seed)
    return {"score": value, "metrics": {"s": candidate.seconds}, "feedback": "judged"}
"""

HONEST = "def double(x):\n    return 2 * x\n"

RAW = """
import json, os, struct, sys, time
def read_exactly(n):
    data = b""
    while len(data) < n:
        piece = os.read(0, n - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data
def read():
    size, length = struct.unpack(">IQ", read_exactly(12))
    text, data = read_exactly(size), read_exactly(length)
    return json.loads(text)
def frame(document, data=b""):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack(">IQ", len(text), len(data)) + text + data
def send(data):
    while data:
        data = data[os.write(1, data):]
def start():
    send(frame({"id": read()["id"], "value": None}))
"""
"""A candidate's own words for the protocol, with nothing of the harness's."""

ANSWERS = """
start()
while True:
    request = read()
    if request["op"] == "close":
        break
    send(frame({"id": request["id"], "value": 2 * request["args"][0]}))
"""
"""What an honest candidate goes on with after `RAW`."""

BIG = 2**21
"""More bytes than an answer may have in these tasks."""

UNASKED = "no answer to what was asked"


class Hostile(NamedTuple):
    """What a candidate does with the channel, its status, and a word of the feedback."""

    what: str
    source: str
    status: Status
    told: str


def _invalid(what: str, source: str, told: str) -> Hostile:
    return Hostile(what, f"{source}\ntime.sleep(60)", Status.INVALID, told)


def _answering(what: str, document: str, told: str, data: str = "b''") -> Hostile:
    """Answers with a message; `i` is the request's id, `value` fits it as text."""
    source = f"start(); i = read()['id']\nsend(frame({document}, {data}))"
    return _invalid(what, source, told)


def _raw(value: bytes) -> str:
    return f"b'{{\"id\":\"' + i.encode() + b'\",\"value\":' + {value!r} + b'}}'"


HOSTILE: tuple[Hostile, ...] = (
    _invalid("before it starts", "send(frame({'id': '', 'value': 99}))", UNASKED),
    _invalid("before it is asked", "start(); send(frame({'id': 'x', 'value': 99}))", UNASKED),
    _invalid(
        "with the token of another",
        "first = read(); send(frame({'id': first['id'], 'value': 0})); read()\n"
        "send(frame({'id': first['id'], 'value': 99}))",
        UNASKED,
    ),
    _invalid(
        "twice", "start(); a = frame({'id': read()['id'], 'value': 99}); send(a + a)", UNASKED
    ),
    _invalid("garbage", "start(); read(); send(b'99' * 50)", "bytes of JSON"),
    _invalid("a flood", "start()\nwhile True: os.write(1, b'x' * 65536)", "protocol"),
    _invalid(
        "a promise of more than it will send",
        "start(); read(); send(struct.pack('>IQ', 2, 2**62))",
        "bytes of data",
    ),
    _answering("no JSON", "b'nonsense'", "not strict JSON"),
    _answering("no UTF-8", "b'\\xff'", "not UTF-8"),
    _answering("no object", "[1]", "not a JSON object"),
    _answering("a key twice", _raw(b'1,"value":2'), "twice"),
    _answering("NaN", "{'id': i, 'value': float('nan')}", "NaN is not JSON"),
    _answering("an infinite number", _raw(b"1e999"), "too large"),
    _answering("a huge integer", "{'id': i, 'value': 10**400}", "too large"),
    _answering("65 bits", "{'id': i, 'value': 2**64}", "more than 64 bits"),
    _answering("nested deep", _raw(b"[" * 9000 + b"]" * 9000), "nested"),
    _answering("many elements", "{'id': i, 'value': [0] * 300_000}", "elements"),
    _answering("another key", "{'id': i, 'value': 1, 'score': 99}", UNASKED),
    _answering("value and error", "{'id': i, 'value': 1, 'error': {}}", UNASKED),
    _answering("an error of another shape", "{'id': i, 'error': 5}", "malformed error"),
    _answering(
        "an answer too large",
        f"{{'id': i, 'value': {{'__bytes__': {BIG}}}}}",
        "bytes of data",
        f"b'x' * {BIG}",
    ),
    _answering(
        "arrays larger than their bytes",
        "{'id': i, 'value': {'__array__': ['float64', 1000]}}",
        "8 bytes of data where its arrays have 8000",
        "b'x' * 8",
    ),
    _answering(
        "bytes without arrays",
        "{'id': i, 'value': 1}",
        "8 bytes of data where its arrays have 0",
        "b'x' * 8",
    ),
    _answering(
        "objects", "{'id': i, 'value': {'__array__': ['object', 1]}}", "malformed", "b'x' * 8"
    ),
    _answering(
        "a negative shape",
        "{'id': i, 'value': {'__array__': ['uint8', -1, -8]}}",
        "malformed",
        "b'x' * 8",
    ),
    Hostile("no answer", "start(); read(); time.sleep(60)", Status.TIMEOUT, "no answer to double"),
    Hostile("no start", "time.sleep(60)", Status.TIMEOUT, "did not start"),
    Hostile(
        "an answer byte by byte",
        "start(); read()\nwhile True:\n    os.write(1, b'\\0'); time.sleep(1.5)",
        Status.TIMEOUT,
        "no answer to double",
    ),
    Hostile("exits", "start(); read(); sys.exit(3)", Status.FAILED, "exit code 3"),
    Hostile("exits at once", "sys.exit(0)", Status.FAILED, "exit code 0"),
    Hostile("is killed", "start(); read(); os.kill(os.getpid(), 9)", Status.FAILED, "the program"),
    Hostile(
        "complains without end",
        "start(); read()\nwhile True: os.write(2, b'x' * 65536)",
        Status.OUTPUT_LIMIT,
        "output",
    ),
    Hostile(
        "forks",
        "start(); read()\nfor _ in range(500):\n    if not os.fork(): time.sleep(60)\n"
        "time.sleep(60)",
        Status.PIDS,
        "pids",
    ),
)


TATTLES = {
    "raises": "def double(x): raise ValueError(f'saw {x}')\n",
    "exits": "import sys\ndef double(x): sys.exit(f'saw {x}')\n",
    "prints": "def double(x):\n    print('saw', x)\n    return 2 * x\n",
    "breaks the protocol": f"{RAW}\nstart(); a = read(); i = a['id'].encode()\n"
    "saw = b'\"saw %d\":1' % a['args'][0]\n"
    "send(frame(b'{\"id\":\"' + i + b'\",' + saw + b',' + saw + b'}')); time.sleep(60)\n",
}
"""Candidates that tell what they were called with."""


def write_serve_task(
    folder: Path, *, judge: str = JUDGE, baseline: str | None = None, **evaluator: Any
) -> Task:
    """A task whose seed doubles numbers; `evaluator` overrides keys of that section."""
    for name in ("seed", "evaluator", "private"):
        (folder / name).mkdir(parents=True)
    if baseline is not None:
        evaluator["baseline"] = "baseline"
        (folder / "evaluator" / "baseline").mkdir()
        (folder / "evaluator" / "baseline" / "kernel.py").write_text(baseline, encoding="utf-8")
    spec = {
        "kind": "serve",
        "produce": ["python", "-m", "harness_serve", "kernel.py"],
        "judge": "judge.py:judge",
        "timeout_s": 20,
        "judge_timeout_s": 20,
        "max_output_bytes": 1024 * 1024,
        **evaluator,
    }
    file = {
        "name": "contract",
        "description": "Double a number.",
        "direction": "maximize",
        "evaluator": spec,
        "limits": {"pids": 64, "memory": "512MiB"},
    }
    (folder / "task.yaml").write_text(json.dumps(file), encoding="utf-8")
    (folder / "seed" / "kernel.py").write_text(HONEST, encoding="utf-8")
    (folder / "evaluator" / "judge.py").write_text(judge, encoding="utf-8")
    (folder / "private" / "truth.txt").write_text(SECRET, encoding="utf-8")
    return load_task(folder)


def served(source: str, more: Mapping[str, str] | None = None, *, seed: int = 0) -> EvaluationJob:
    """A submission of `kernel.py` and `more` files."""
    texts = {"kernel.py": source, **(more or {})}
    files = {name: TreeFile(text.encode()) for name, text in texts.items()}
    return EvaluationJob(AttemptId("1"), FilesSubmission(files), seed)
