"""Which user commands run as."""

import os

AGENT_UID = 61_184
"""uid and gid of agents and candidates when the harness is root.

The first of the range that systemd sets aside for dynamic users (61184 to 65519): no login user and
no package owns it.
"""


def agent_owner() -> tuple[int, int] | None:
    """uid and gid that commands run as and that own writable folders; None: our own."""
    return (AGENT_UID, AGENT_UID) if os.geteuid() == 0 else None
