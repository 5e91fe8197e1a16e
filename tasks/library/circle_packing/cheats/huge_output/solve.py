"""A valid grid behind 8 MB of blanks."""

import json

CIRCLES = [[0.1 + 0.15 * (k % 6), 0.1 + 0.15 * (k // 6), 0.07] for k in range(26)]

with open("circles.json", "w", encoding="utf-8") as file:
    file.write(" " * 8_000_000 + json.dumps(CIRCLES))
