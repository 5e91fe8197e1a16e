"""Runs a Python program and passes on what it printed only if it came to its own end.

    python harness_guard.py [-c CODE | -m MODULE | FILE] [ARGUMENT ...]

Graders often run a script that imports the candidate and then prints the verdict, and read the last
line that it printed: a candidate that prints one itself and ends the process would be believed.
Here the program runs in a child. Only a program that is run to its last line, or that ends itself
with `sys.exit`, is believed, and only what it had printed by then: whatever else ends the child,
its output is dropped and the exit code is 70. A candidate that patches the program in memory is not
found out. A program below HARNESS_SUBMISSION is the candidate's own: what it prints is its answer,
and it may end as it likes.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import secrets
import signal
import sys
import tempfile
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

REFUSED = 70
SIZE_BYTES = 8
PR_SET_PDEATHSIG = 1
FLAGS = ("-u", "-B", "-I", "-E", "-s", "-S", "-O")


def own_exit(error: SystemExit) -> bool:
    """Whether the program itself called `sys.exit`, and not something that it runs or imports."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_globals.get("__name__") == "__main__"


def of_submission(program: str) -> bool:
    """Whether a file is the candidate's own."""
    top = os.environ.get("HARNESS_SUBMISSION", "")
    return bool(top) and os.path.realpath(program).startswith(os.path.realpath(top) + os.sep)


def run(arguments: list[str]) -> int:
    """Run the program as `__main__`; its exit code if it came to its own end.

    Raises:
        BaseException: What the program raised.
    """
    kind, *rest = arguments
    try:
        if kind == "-c":
            code, sys.argv = rest[0], ["-c", *rest[1:]]
            sys.path[0:1] = [""]
            module = types.ModuleType("__main__")
            sys.modules["__main__"] = module
            exec(compile(code, "<string>", "exec"), module.__dict__)  # noqa: S102
        elif kind == "-m":
            sys.argv = rest
            sys.path[0:1] = [""]
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path[0:1] = [os.path.dirname(os.path.abspath(kind))]  # noqa: PTH100, PTH120
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as error:
        if not own_exit(error):
            raise RuntimeError("something that the program runs called sys.exit") from None
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    return 0


def child(arguments: list[str], channel: int, token: bytes, parent: int) -> NoReturn:
    """Run the program; say that it came to its own end, and how much it had printed by then."""
    # Whoever kills the parent, for taking too long, means this process.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(REFUSED)
    code = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(channel, token + os.fstat(1).st_size.to_bytes(SIZE_BYTES, "big"))
    # At once: what a candidate has registered with `atexit` would come after the verdict.
    os._exit(code & 0xFF)


def guarded(arguments: list[str]) -> int:
    """Run the program in a child; its exit code."""
    token = secrets.token_bytes(16)
    source, target = os.pipe()
    parent = os.getpid()
    with tempfile.TemporaryFile() as printed:
        process = os.fork()
        if process == 0:
            os.close(source)
            os.dup2(printed.fileno(), 1)
            child(arguments, target, token, parent)
        os.close(target)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.set_blocking(source, False)
        try:
            said = os.read(source, len(token) + SIZE_BYTES)
        except BlockingIOError:  # something that it left behind holds the pipe open
            said = b""
        if len(said) != len(token) + SIZE_BYTES or not said.startswith(token):
            sys.stderr.write("the program was ended, or raised, before it came to its end\n")
            return REFUSED
        left = int.from_bytes(said[len(token) :], "big")
        printed.seek(0)
        while piece := printed.read(min(left, 1 << 16)):
            left -= len(piece)
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        return code


def main() -> int:
    """Run the program, in a child if it has to be believed."""
    arguments = sys.argv[1:]
    while arguments and arguments[0] in FLAGS:
        arguments = arguments[1:]
    if arguments[0] not in ("-c", "-m") and of_submission(arguments[0]):
        os.execv(sys.executable, [sys.executable, *arguments])
    return guarded(arguments)


if __name__ == "__main__":
    sys.exit(main())
