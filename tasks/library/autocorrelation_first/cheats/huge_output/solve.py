"""A valid output behind 8 MB of blanks."""

import json

with open("steps.json", "w", encoding="utf-8") as file:
    file.write(" " * 8_000_000 + json.dumps([1.0] * 20 + [2.0] * 20))
