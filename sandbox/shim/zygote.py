"""The process that every shim is forked from, so that none has to wait for Python to start.

`python -I -S -c "…; main()" ORDERS`: ORDERS is a socket whose other end the harness holds. Each
byte of it carries five descriptors (standard input, output and error, CONTROL, REQUEST) and orders
one shim. When the other end is closed, because the harness is done or was killed, this process
ends; shims still at work end by their own CONTROL.

It has one thread, keeps no descriptor of a shim, never changes its uid or its namespaces and runs
nothing of a command's: that happens in the shim's child.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from harness.sandbox.shim.command import call
from harness.sandbox.shim.supervisor import PR_SET_DUMPABLE, supervise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DESCRIPTORS = 5


def main() -> None:
    orders = socket.socket(fileno=int(sys.argv[1]))
    orders.set_inheritable(False)
    call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGCHLD, reap)
    gc.freeze()  # a collection in a shim would copy every page
    while True:
        fds = receive(orders)
        if fds is None:
            return
        if len(fds) == DESCRIPTORS:
            fork(orders, fds)
        for fd in fds:
            os.close(fd)


def receive(orders: socket.socket) -> list[int] | None:
    """The descriptors of the next order; None when there will be none any more."""
    space = socket.CMSG_SPACE(4 * DESCRIPTORS)
    data, messages, _, _ = orders.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    return [fd for _, _, payload in messages for fd in memoryview(payload).cast("i")]


def fork(orders: socket.socket, fds: list[int]) -> None:
    try:
        pid = os.fork()
    except OSError as error:
        os.write(fds[3], f"0\nfailed\n1\n0\nfork: {error.strerror}".encode())
        return
    if pid == 0:
        try:
            become_shim(orders, fds)
        finally:
            os._exit(1)


def become_shim(orders: socket.socket, fds: list[int]) -> NoReturn:
    orders.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    *streams, control, request = fds
    for standard, fd in enumerate(streams):
        os.dup2(fd, standard)
        os.close(fd)
    supervise(control, request)
    os._exit(0)


def reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
