"""What a converted task folder tells of where it comes from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

IMPORTED = "import.json"
"""In a converted folder: where it comes from and what could not be mapped."""


def imported_from(folder: Path) -> Mapping[str, Any] | None:
    """`format`, `origin` and `notes` of a converted folder; None for a task of the user's own."""
    path = folder / IMPORTED
    if not path.is_file():
        return None
    found: Any = json.loads(path.read_text(encoding="utf-8"))
    return cast(Mapping[str, Any], found)
