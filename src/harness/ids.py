"""Typed identifiers. Plain strings at run time, told apart by the type checkers."""

import re
from typing import NewType

RunId = NewType("RunId", str)
"""Name of a run's folder: `<task>-<YYYYmmdd-HHMMSS>-<4 hex>`."""

AgentId = NewType("AgentId", str)
"""`agent-1` … `agent-N`; `seed` for attempt 0."""

AttemptId = NewType("AttemptId", str)
"""Decimal number of the attempt within its run, in order of submission; the seed is `0`."""

RecordId = NewType("RecordId", str)
"""Made by the writer of a memory record (32 hex digits), so that every write can be repeated."""

TreeHash = NewType("TreeHash", str)
"""Hash of a git tree (40 hex digits): the content that is evaluated."""

CommitHash = NewType("CommitHash", str)
"""Hash of a git commit (40 hex digits)."""

SEED_ATTEMPT = AttemptId("0")
SEED_AGENT = AgentId("seed")

_SLUG = re.compile(r"[^a-z0-9]+")


def slug(text: str) -> str:
    """Lower-case `text` reduced to letters, digits and single underscores."""
    return _SLUG.sub("_", text.lower()).strip("_")
