"""Commands of one shell that are separate processes: what one leaves behind, the next one finds.

At its end the shell of a command writes its working directory and its environment to a descriptor
of its own, between marks that come by standard input and are in no environment and no argument. So
nothing that a command prints can pass for them, and without them things stay as they were.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from harness.sandbox.base import MIB, ExecEnd, ExecResult, Sandbox

MAX_OUTPUT_BYTES = 4 * MIB
MAX_VARIABLES = 200
MAX_VARIABLE_BYTES = 32_768
"""All variables together: they are part of the checkpoints."""

_NOT_CARRIED = frozenset({"_", "PWD", "SHLVL"})
_OF_THE_HARNESS = "HARNESS_EXEC"
"""Beginning of the names by which sandboxes tell commands apart."""

_RUN = r"""
IFS= read -r __harness_mark
exec 9>&2 2>&1 </dev/null
__harness_env=$(command -v env)
__harness_end() {
    set -- "$?"
    trap - EXIT
    { printf '%s\n' "$__harness_mark"; pwd -P || printf '%s\n' "$PWD"; printf '\0'
      "$__harness_env" -0; printf '%s\n' "$__harness_mark"; } >&9 2>/dev/null
    exit "$1"
}
trap __harness_end EXIT
[ -z "$2" ] || cd -- "$2" 2>/dev/null || printf '[%s is gone: this runs in %s]\n' "$2" "$PWD"
set -- "$1"
eval "$1"
"""
_ENVIRONMENT = ("sh", "-c", "env -0")
BASH = 'exec "$(command -v bash || command -v sh)" -c "$0" "$@"'
"""Runs its first argument with bash where there is one, the others as that one's arguments."""


@dataclass(slots=True)
class Shell:
    """Working directory and exported variables, as the last command left them.

    `cwd` is empty for the workspace itself. `variables` are those that differ from what every
    command has.
    """

    cwd: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    _given: Mapping[str, str] | None = None

    def dump(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"cwd": self.cwd, "variables": dict(self.variables)}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> "Shell":
        """From what `dump` gave."""
        variables = cast(Mapping[str, str], dumped.get("variables", {}))
        return cls(str(dumped.get("cwd", "")), dict(variables))

    async def run(self, sandbox: Sandbox, command: str, timeout_s: float) -> ExecResult:
        """Run `command` where the last one ended; its output and errors are one stream.

        Raises:
            SandboxUnavailableError: When the sandbox, not the command, failed.
        """
        given = await self._environment(sandbox)
        mark = secrets.token_hex(16)
        result = await sandbox.exec(
            ["sh", "-c", BASH, _RUN, "bash", command, self.cwd],
            timeout_s=timeout_s,
            stdin=f"{mark}\n".encode(),
            env=dict(self.variables),
            max_output_bytes=MAX_OUTPUT_BYTES,
        )
        before, _, rest = result.stderr.partition(f"{mark}\n".encode())
        left, closed, after = rest.partition(f"{mark}\n".encode())
        if closed:
            self._take(left, given, sandbox.workdir)
        return ExecResult(
            result.end,
            result.exit_code,
            result.stdout,
            before + after,
            result.duration_s,
            result.evidence,
        )

    async def _environment(self, sandbox: Sandbox) -> Mapping[str, str]:
        """What every command of the sandbox has, asked once."""
        if self._given is None:
            result = await sandbox.exec(_ENVIRONMENT, timeout_s=30.0, max_output_bytes=MIB)
            self._given = _variables(result.stdout) if result.end is ExecEnd.EXITED else {}
        return self._given

    def _take(self, left: bytes, given: Mapping[str, str], workdir: str) -> None:
        folder, _, environment = left.partition(b"\0")
        try:
            cwd = folder.decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError:
            cwd = ""
        self.cwd = "" if cwd == workdir else cwd
        changed = {
            name: value
            for name, value in _variables(environment).items()
            if given.get(name) != value
        }
        kept: dict[str, str] = {}
        room = MAX_VARIABLE_BYTES
        # The smallest first: one huge variable must not push out the others.
        for name, value in sorted(changed.items(), key=lambda item: len(item[1])):
            room -= len(name) + len(value.encode())
            if room < 0 or len(kept) == MAX_VARIABLES:
                break
            kept[name] = value
        self.variables = kept


def _variables(environment: bytes) -> dict[str, str]:
    """Variables as `env -0` writes them; those that are not text are left out."""
    found: dict[str, str] = {}
    for entry in environment.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        try:
            key, text = name.decode("utf-8"), value.decode("utf-8")
        except UnicodeDecodeError:
            continue
        kept = key not in _NOT_CARRIED and not key.startswith(_OF_THE_HARNESS)
        if equals and key and kept:
            found[key] = text
    return found
