"""Which user commands run as."""

import itertools
import os

from harness.sandbox.base import Purpose

AGENT_UID = 61_184
"""uid and gid of agents when the harness is root; with Docker and bubblewrap, of all commands.

The first of the range that systemd sets aside for dynamic users (61184 to 65519): no login user and
no package owns it.
"""

_JUDGE_UID = AGENT_UID + 1
_CANDIDATES = range(AGENT_UID + 16, 65_520)
_count = itertools.count(os.getpid())


def agent_owner() -> tuple[int, int] | None:
    """uid and gid that commands run as and that own writable folders; None: our own."""
    return (AGENT_UID, AGENT_UID) if os.geteuid() == 0 else None


def own_uid(purpose: Purpose) -> tuple[int, int] | None:
    """uid and gid of a sandbox whose processes others can see; None: our own.

    Signals and `/proc/PID` are open to one's own uid, so judges have one of their own and each
    candidate has another: none reads a judge's private data or ends another's process.
    """
    if os.geteuid() != 0:
        return None
    if purpose == "agent":
        return agent_owner()
    uid = _JUDGE_UID if purpose == "judge" else _CANDIDATES[next(_count) % len(_CANDIDATES)]
    return uid, uid
