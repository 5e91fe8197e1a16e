"""docs/security.md lists every attack of the zoo, and no other."""

import re
from pathlib import Path

from tests.zoo.catalogue import catalogue

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def test_the_published_table_is_the_zoo() -> None:
    attacks = [name for group in catalogue().values() for name in group]
    section = PAGE.read_text(encoding="utf-8").split("## The zoo\n", 1)[1]
    rows = re.findall(r"^\| `([^`]+)` \| .* \| (.+) \| (.+) \|$", section, flags=re.MULTILINE)
    assert [name for name, _, _ in rows] == attacks
    assert len(attacks) == len(set(attacks)) >= 70
    # Each was seen where it applies.
    assert not [row for row in rows if "-" in row[1:]]
