"""Calls an evaluator that runs the candidate itself: one_phase.py FILE FUNCTION PRIVATE WORK SEED.

It runs beside `judge_runner.py`, without the harness. The evaluator runs in a child process. What
it returns comes back through a pipe, behind a token; what it prints, and what anything it started
prints, goes to standard error. The answer on the real standard output is one JSON document:
`judge_runner.plain`'s, or `{"error", "at"}`. `at` is `load` when the evaluator's own file raised,
`call` when it raised later (`timeout`: a `TimeoutError`), `end` when its process ended without
having returned.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import select
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from harness.evaluators import judge_runner
else:
    # Ahead of everything: with -I nothing of the evaluator's own is there yet.
    sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120
    import judge_runner

MAX_ANSWER_BYTES = 1024 * 1024
PR_SET_DUMPABLE = 4


def keep_out() -> None:
    """No other process of this user may look into this one, nor open what it has open."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def evaluate(channel: int, token: bytes, arguments: list[str]) -> NoReturn:
    """In the child: evaluate, and write token and answer."""
    file, function, private, work, seed = arguments
    keep_out()
    at = "load"
    answer: dict[str, Any]
    try:
        evaluator = judge_runner.load(file, function)
        prepare = getattr(sys.modules["judge"], "prepare", None)
        if prepare is not None:
            prepare(Path(private))
        at = "call"
        answer = judge_runner.ask(evaluator, work, private, int(seed))
    except BaseException as error:  # SystemExit too: a candidate may raise it
        import traceback

        traceback.print_exc()
        at = "timeout" if at == "call" and judge_runner.is_a(TimeoutError, error) else at
        answer = {"error": f"{type(error).__name__}: {error}"[:2000], "at": at}
    sys.stdout.flush()
    sys.stderr.flush()
    data = token + json.dumps(answer, allow_nan=False).encode("ascii")
    while data:
        data = data[os.write(channel, data) :]
    os._exit(0)


def written(source: int, child: int) -> bytes:
    """What came through the pipe until the child ended; processes it left may still hold it."""
    os.set_blocking(source, False)
    ended = os.pidfd_open(child)
    data, going = b"", True
    while going and len(data) <= MAX_ANSWER_BYTES:
        # Once more after its end: what it wrote last.
        going = ended not in select.select([source, ended], [], [])[0]
        try:
            while len(data) <= MAX_ANSWER_BYTES and (piece := os.read(source, 1 << 16)):
                data += piece
        except BlockingIOError:
            continue
        if going:
            select.select([ended], [], [])
            going = False
    return data


def answer_of(source: int, token: bytes, child: int) -> dict[str, Any]:
    """What the child wrote, if it is one whole answer and the child ended as it should."""
    data = written(source, child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code or not data.startswith(token):
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return {"error": f"the evaluator's process {how} before it returned", "at": "end"}
    try:
        answer: Any = json.loads(data[len(token) :])
    except ValueError:
        answer = None
    if judge_runner.is_a(dict, answer):
        return dict(answer)
    return {"error": "what came from the evaluator's process is no answer", "at": "end"}


def main() -> None:
    """Answer on the real standard output, whatever becomes of the child."""
    channel = os.dup(1)
    os.dup2(2, 1)
    keep_out()
    source, target = os.pipe()
    token = secrets.token_bytes(32)
    child = os.fork()
    if child == 0:
        os.close(channel)
        os.close(source)
        evaluate(target, token, sys.argv[1:])
    os.close(target)
    data = json.dumps(answer_of(source, token, child)).encode("ascii")
    while data:
        data = data[os.write(channel, data) :]


if __name__ == "__main__":
    main()
