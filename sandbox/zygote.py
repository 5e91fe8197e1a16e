"""The harness's end of the zygote: the process that shims are forked from (`shim/zygote.py`)."""

import atexit
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import harness

_PROGRAM = (
    f"import sys; sys.path.append({str(Path(harness.__file__).parents[1])!r}); "
    "from harness.sandbox.shim.zygote import main; main()"
)


class Zygote:
    """Started with the first order, again with the first one after its death.

    **Threads**: safe. It ends with the harness, however that ends. Its death (a command under the
    harness's own uid can kill it) concerns orders that it has not taken: their descriptors close.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def order(self, fds: Sequence[int]) -> None:
        """Have a shim started with these descriptors; does not wait for it.

        Raises:
            OSError: No process can be started, or so many orders wait that no more fit.
        """
        with self._turn:
            if self._orders is not None:
                # The descriptors of an order that fails were not passed on.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    _send(self._orders, fds)
                    return
                self._stop()
            self._orders = self._start()
            _send(self._orders, fds)

    def stop(self) -> None:
        """End it; shims at work are not touched."""
        with self._turn:
            self._stop()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={"LC_ALL": "C.UTF-8"},
                    cwd="/",
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            raise
        return ours

    def _stop(self) -> None:
        orders, self._orders = self._orders, None
        process, self._process = self._process, None
        if orders is not None:
            orders.close()
        if process is not None:
            process.kill()
            process.wait()


def _send(orders: socket.socket, fds: Sequence[int]) -> None:
    socket.send_fds(orders, [b"\0"], fds)


ZYGOTE = Zygote()
"""The one of this process."""
atexit.register(ZYGOTE.stop)
