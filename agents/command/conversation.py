"""The CLI's conversation: which one it is, and its files while sandboxes come and go."""

import contextlib
import json
import os
import uuid
from pathlib import Path

from harness.agents.base import AgentContext
from harness.agents.command.relay import PYTHON, program
from harness.sandbox.base import MIB, Sandbox

FOLDER = "conversations"
"""In the run's folder."""

_MAX_BYTES = 32 * MIB
_TIMEOUT_S = 120.0


class Conversation:
    """What must outlive a kill: the conversation's identifier, whether it has begun, its files.

    The files are those of the CLI's home folder, as the sandbox gave them: they are kept and given
    back, never opened here.
    """

    def __init__(self, folder: Path, agent: str) -> None:
        self._about = folder / f"{agent}.json"
        self._files = folder / f"{agent}.tar.gz"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.session = str(uuid.uuid4())
        self.begun = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(self._about.read_text(encoding="utf-8"))
            self.session, self.begun = str(known["session"]), bool(known["begun"])

    @classmethod
    def of(cls, context: AgentContext) -> "Conversation":
        return cls(context.checkpoints.parent / FOLDER, context.agent)

    def went_on(self) -> None:
        """A command has spoken in it."""
        self.begun = True
        self._write()

    def forget(self) -> None:
        """The next command begins a new one."""
        self.session, self.begun = str(uuid.uuid4()), False
        self._write()

    def _write(self) -> None:
        about = json.dumps({"session": self.session, "begun": self.begun})
        _replace(self._about, about.encode())

    async def load(self, sandbox: Sandbox, home: str) -> None:
        """Put the saved files into a sandbox that has none yet.

        Raises:
            SandboxUnavailableError: When the sandbox failed.
        """
        data = self._files.read_bytes() if self._files.exists() else b""
        argv = [PYTHON, "-I", "-c", program("keep"), "load", home]
        result = await sandbox.exec(argv, timeout_s=_TIMEOUT_S, stdin=data)
        if not result.ok:
            # Full, or the archive is damaged: the CLI has forgotten what was said.
            self.forget()

    async def save(self, sandbox: Sandbox, home: str) -> bool:
        """Take the files out of the sandbox; whether they could be.

        Raises:
            SandboxUnavailableError: When the sandbox failed.
        """
        argv = [PYTHON, "-I", "-c", program("keep"), "save", home]
        result = await sandbox.exec(argv, timeout_s=_TIMEOUT_S, max_output_bytes=_MAX_BYTES)
        if result.ok:
            _replace(self._files, result.stdout)
        return result.ok


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    new.replace(path)
