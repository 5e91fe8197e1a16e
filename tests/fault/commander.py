"""Somebody who sends commands to a run that may be killed at any time."""

import contextlib
import random
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError
from harness.run.control import send
from harness.run.folder import RunFolder, live_process


@dataclass
class Commander:
    """Somebody who tells a live run things; knows what was acknowledged."""

    run: Callable[[], Path | None]
    rng: random.Random
    told: list[str] = field(default_factory=list[str])
    unheard: list[str] = field(default_factory=list[str])
    """Told, but no answer came."""
    added: int = 0
    """Evaluations that were added to the budget by acknowledged commands."""
    perhaps: int = 0
    """Those of commands that had no answer."""
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def at_work(self, number: int) -> Generator[None]:
        """Send commands until the block is left."""
        self._over.clear()
        thread = threading.Thread(target=self._work, args=(number,))
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _work(self, number: int) -> None:
        for count in range(100):
            if self._over.wait(self.rng.uniform(0.1, 0.8)):
                return
            run = self.run()
            if run is None or live_process(folder := RunFolder(run)) is None:
                continue
            choice = self.rng.choice(("tell", "tell", "set", "pause"))
            if choice == "tell":
                self._tell(folder, f"word {number}-{count}")
            elif choice == "set":
                self._set(folder)
            else:
                with contextlib.suppress(UserError):
                    send(folder, "pause")
                with contextlib.suppress(UserError):
                    send(folder, "resume")

    def _tell(self, folder: RunFolder, text: str) -> None:
        try:
            send(folder, "tell", text=text, urgent=self.rng.random() < 0.5)
            self.told.append(text)
        except UserError:
            self.unheard.append(text)

    def _set(self, folder: RunFolder) -> None:
        try:
            send(folder, "set", values={"budget.evaluations": "+1"})
            self.added += 1
        except UserError:
            self.perhaps += 1
