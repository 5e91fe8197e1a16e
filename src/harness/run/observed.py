"""An agent's sandbox, watched: while a command runs, the run knows that the agent is busy."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from harness.sandbox.base import Sandbox
from harness.sandbox.wrapped import WrappedSandbox

Notice = Callable[[str, float | None], None]
"""Told `running` and the command's limit in seconds when one starts, and `working` and None when
the last one has ended."""


class ObservedSandbox(WrappedSandbox):
    """A `Sandbox` that tells when its commands start and end."""

    def __init__(self, sandbox: Sandbox, notice: Notice) -> None:
        super().__init__(sandbox)
        self._notice = notice
        self._running = 0

    @contextmanager
    def around(self, timeout_s: float) -> Generator[None]:
        """Held while a command runs."""
        self._running += 1
        self._notice("running", timeout_s)
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._notice("working", None)
