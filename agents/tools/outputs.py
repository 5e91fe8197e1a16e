"""Outputs too long to show: kept in the workspace, where the agent can read them again."""

from collections.abc import Mapping

from harness.agents.text import clip
from harness.sandbox.base import MIB, Sandbox

FOLDER = ".harness/outputs"
KEPT = 5
"""The newest ones, which outlive a checkout."""

_MAX_BYTES = 8 * MIB
_NEWEST = f"ls -t {FOLDER} 2>/dev/null | head -n {KEPT}"


async def shortened(sandbox: Sandbox, number: int, text: str, limit: int) -> str:
    """`text` as the model gets it: of a long one head and tail, all of it in a file."""
    if len(text) <= limit:
        return text
    path = f"{FOLDER}/{number}.txt"
    try:
        await sandbox.write_file(path, text.encode("utf-8", "backslashreplace"))
    except OSError:  # no room, or something of the agent's is in the way: nothing is promised
        return clip(text, limit)
    return clip(text, limit, f"all of it is in {path} until this directive ends")


async def newest(sandbox: Sandbox) -> Mapping[str, bytes]:
    """The newest outputs by path, before the workspace is replaced."""
    listed = await sandbox.exec(["sh", "-c", _NEWEST], timeout_s=30.0)
    kept: dict[str, bytes] = {}
    for name in reversed(listed.stdout.decode("utf-8", "replace").split()):
        path = f"{FOLDER}/{name}"
        try:
            kept[path] = await sandbox.read_file(path, max_bytes=_MAX_BYTES)
        except (OSError, OverflowError):
            continue  # the agent has removed it or made it into something else
    return kept


async def restore(sandbox: Sandbox, kept: Mapping[str, bytes]) -> None:
    """Put them back, the oldest first."""
    for path, data in kept.items():
        try:
            await sandbox.write_file(path, data)
        except OSError:
            return  # no room: the agent is told when it reads them
