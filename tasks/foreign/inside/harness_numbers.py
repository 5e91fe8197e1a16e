"""What counts as a number in the results of foreign evaluators; beside the adapters, alone."""

from __future__ import annotations

import math
from numbers import Real

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_a(kind: type, value: Any) -> bool:
    """`isinstance`, without telling a type checker."""
    return isinstance(value, kind)


def number(value: Any) -> float | None:
    """`value` if it is a finite number (NumPy's included; a boolean is none)."""
    if not is_a(Real, value) or type(value).__name__ in ("bool", "bool_"):
        return None
    plain = float(value)
    return plain if math.isfinite(plain) else None
