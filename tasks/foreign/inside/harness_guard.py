"""Runs a Python program and passes on what it printed only if it came to its own end.

    python harness_guard.py [-c CODE | -m MODULE | FILE] [ARGUMENT ...]

Graders often run a script that imports the candidate and then prints the verdict, and read the last
line that it printed: a candidate that prints one itself and ends the process would be believed.
Here the program runs in a child. Only a program that is run to its last line, or that ends itself
with `sys.exit`, is believed: whatever else ends the child, its output is dropped and the exit code
is 70. A candidate that patches the program in memory is not found out.
"""

from __future__ import annotations

import os
import runpy
import secrets
import sys
import tempfile
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

REFUSED = 70
FLAGS = ("-u", "-B", "-I", "-E", "-s", "-S", "-O")


def own_exit(error: SystemExit, program: str) -> bool:
    """Whether the program itself called `sys.exit`, and not something that it runs or imports."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code.co_filename == program


def run(arguments: list[str]) -> int:
    """Run the program as `__main__`; its exit code if it came to its own end.

    Raises:
        BaseException: What the program raised.
    """
    while arguments and arguments[0] in FLAGS:
        arguments = arguments[1:]
    kind, *rest = arguments
    program = "<string>"
    try:
        if kind == "-c":
            code, sys.argv = rest[0], ["-c", *rest[1:]]
            sys.path[0:1] = [""]
            module = types.ModuleType("__main__")
            sys.modules["__main__"] = module
            exec(compile(code, program, "exec"), module.__dict__)  # noqa: S102
        elif kind == "-m":
            sys.argv = rest
            sys.path[0:1] = [""]
            program = rest[0]
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            program, sys.argv = kind, arguments
            sys.path[0:1] = [os.path.dirname(os.path.abspath(kind))]  # noqa: PTH100, PTH120
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as error:
        if not own_exit(error, program):
            raise RuntimeError("something that the program runs called sys.exit") from None
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    return 0


def child(arguments: list[str], channel: int, token: bytes) -> NoReturn:
    """Run the program; say that it came to its own end, and end as Python would."""
    code = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(channel, token)
    sys.exit(code)


def main() -> int:
    """Run the program in a child; its exit code."""
    token = secrets.token_bytes(16)
    source, target = os.pipe()
    with tempfile.TemporaryFile() as printed:
        process = os.fork()
        if process == 0:
            os.close(source)
            os.dup2(printed.fileno(), 1)
            child(sys.argv[1:], target, token)
        os.close(target)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.set_blocking(source, False)
        try:
            said = os.read(source, len(token) + 1)
        except BlockingIOError:  # something that it left behind holds the pipe open
            said = b""
        if said != token and code == 0:
            sys.stderr.write("the program was ended before it came to its end\n")
            return REFUSED
        printed.seek(0)
        # After an error of its own it is read as well: graders look for the reason there.
        while said == token and (piece := printed.read(1 << 16)):
            os.write(1, piece)
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
