"""Evaluations that must run alone on a host, because they measure time."""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.evaluators.gpus.leases import POLL_S, make_folder


class HostTurn:
    """The turn to evaluate, among all runs of a host: many ordinary evaluations, or one alone.

    Two locks (`flock`) that the kernel drops with their owner. Whoever comes passes the first one,
    the gate, and keeps it until it has the second; so one that wants to be alone is not passed by
    ordinary ones that come later.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def take(self, *, alone: bool) -> AsyncGenerator[None]:
        """Wait for the turn; the block is the evaluation.

        Raises:
            ConfigurationError: The folder for the locks cannot be made.
        """
        make_folder(self._folder)
        gate, turn = (self._open(name) for name in ("gate", "turn"))
        try:
            try:
                await _lock(gate, fcntl.LOCK_EX)
                await _lock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            finally:
                os.close(gate)
            yield
        finally:
            os.close(turn)

    def _open(self, name: str) -> int:
        mask = os.umask(0)
        try:
            return os.open(self._folder / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        finally:
            os.umask(mask)


async def _lock(fd: int, kind: int) -> None:
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(POLL_S)
        else:
            return
