"""Keeps a judge imported and scores each output in a fork of its own, inside the judge's sandbox.

    python -I -B judge_server.py FILE FUNCTION PRIVATE

Starting Python and importing what a judge imports costs more than most judges do; a fork costs
milliseconds and leaves as little behind. It runs beside `judge_runner.py`, without the harness:
standard library only.

Standard input carries orders, one JSON object a line: `{"id", "outputs", "seed", "timeout_s"}`.
For each, standard output carries one line of JSON, `{"id", "end", "code", "stdout", "stderr"}`,
the last two being numbers of bytes that follow it. `end` is `exited`, `timeout` or `output_limit`.
Its end of input ends it, and with it what still runs.
"""
# ruff: noqa: PTH120 - importing pathlib costs milliseconds

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from harness.evaluators import judge_runner
else:
    sys.path.append(os.path.dirname(__file__))
    import judge_runner

AT_ONCE = 2 * (os.cpu_count() or 1)
"""Judges compute: more of them side by side would only take memory."""
MAX_PRINTED_BYTES = 10 * 1024 * 1024
CHUNK = 1 << 16


class Running:
    """A fork that judges: its answer comes through a pipe, what it prints through another."""

    def __init__(self, order: dict[str, Any], server: Server) -> None:
        self.order = order
        self.end = "exited"
        answer, answered = os.pipe()
        printed, printer = os.pipe()
        self.texts = {answer: bytearray(), printed: bytearray()}
        self.stdout, self.stderr = answer, printed
        self.deadline = time.monotonic() + order["timeout_s"]
        self.pid = os.fork()
        if self.pid == 0:
            server.forget()
            become(order, server.judge, answered, printer)
        os.close(answered)
        os.close(printer)
        self.pidfd = os.pidfd_open(self.pid)
        self.left = MAX_PRINTED_BYTES

    def read(self, fd: int) -> bool:
        """Take what there is; False at its end."""
        data = os.read(fd, CHUNK)
        self.texts[fd] += data[: self.left]
        self.left -= len(data)
        if self.left < 0:
            self.kill("output_limit")
        return bool(data)

    def kill(self, end: str) -> None:
        self.end = end
        stop(self.pid)

    def report(self) -> bytes:
        """The outcome, once the fork has ended; nothing of it is left."""
        stop(self.pid)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        for fd, text in self.texts.items():
            os.set_blocking(fd, False)
            try:
                while data := os.read(fd, CHUNK):
                    text += data[: max(0, self.left)]
                    self.left -= len(data)
            except BlockingIOError:
                pass  # something that got away holds it; whoever reads is not to wait for that
            os.close(fd)
        stdout, stderr = self.texts[self.stdout], self.texts[self.stderr]
        head = {
            "id": self.order["id"],
            "end": self.end,
            "code": os.waitstatus_to_exitcode(status),
            "stdout": len(stdout),
            "stderr": len(stderr),
        }
        return json.dumps(head).encode() + b"\n" + stdout + stderr


class Server:
    """Reads orders, runs them, writes their outcomes: one loop, one thread."""

    def __init__(self, judge: Callable[[dict[str, Any]], dict[str, Any]], channel: int) -> None:
        self.judge = judge
        self.channel = channel
        self.pending: list[dict[str, Any]] = []
        self.running: dict[int, Running] = {}
        self.orders = bytearray()
        self.poller = select.poll()
        self.poller.register(0, select.POLLIN)

    def forget(self) -> None:
        """In a fork: close what belongs to the server."""
        os.close(self.channel)
        os.close(0)
        os.open(os.devnull, os.O_RDONLY)
        for fd in self.running:
            os.close(fd)

    def serve(self) -> None:
        while True:
            self.begin()
            for fd, _ in self.poller.poll(self.patience_ms()):
                if fd == 0:
                    if not self.receive():
                        return
                elif (one := self.running.get(fd)) is not None:
                    self.look(one, fd)
            now = time.monotonic()
            for one in set(self.running.values()):
                if now >= one.deadline:
                    one.kill("timeout")

    def receive(self) -> bool:
        data = os.read(0, CHUNK)
        *lines, self.orders = (self.orders + data).split(b"\n")
        self.pending += map(json.loads, lines)
        return bool(data)

    def begin(self) -> None:
        while self.pending and len(set(self.running.values())) < AT_ONCE:
            one = Running(self.pending.pop(0), self)
            for fd in (*one.texts, one.pidfd):
                self.running[fd] = one
                self.poller.register(fd, select.POLLIN)

    def look(self, one: Running, fd: int) -> None:
        if fd != one.pidfd:
            if not one.read(fd):
                self.poller.unregister(fd)
            return
        for each in (*one.texts, one.pidfd):
            del self.running[each]
            try:
                self.poller.unregister(each)
            except KeyError:
                continue  # its end was read before
        outcome = one.report()
        while outcome:
            outcome = outcome[os.write(self.channel, outcome) :]

    def patience_ms(self) -> float | None:
        if not self.running:
            return None
        first: float = min(one.deadline for one in self.running.values())
        return max(0.0, first - time.monotonic()) * 1000 + 1


def stop(pid: int) -> None:
    """Kill a fork that has not been waited for, and what is left of its process group."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # not yet the leader of a group, or ended


def become(
    order: dict[str, Any],
    judge: Callable[[dict[str, Any]], dict[str, Any]],
    answered: int,
    printer: int,
) -> NoReturn:
    """Judge and end, whatever happens."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(printer, 1)
        os.dup2(printer, 2)
        os.close(printer)
        reseed()
        judge_runner.answer_on(answered, lambda: judge(order))
        code = 0
    finally:
        os._exit(code)


def reseed() -> None:
    """Random numbers that are not the same in each fork; Python's own are reseeded by itself."""
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()


def main() -> None:
    file, function, private = sys.argv[1:]
    channel = os.dup(1)
    os.set_inheritable(channel, False)
    os.dup2(2, 1)
    try:
        call = judge_runner.load(file, function)
    except BaseException as error:  # whatever the import does: each verdict tells the author
        failed = error

        def call(outputs: Any, private: Any, seed: int) -> Any:
            raise failed

    def judge(order: dict[str, Any]) -> dict[str, Any]:
        return judge_runner.ask(call, order["outputs"], private, order["seed"])

    gc.freeze()  # a collection in a fork would copy every page
    Server(judge, channel).serve()


if __name__ == "__main__":
    main()
