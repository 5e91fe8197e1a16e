"""`true` and `false` count as 1 and 0 in arithmetic."""

import json

with open("steps.json", "w", encoding="utf-8") as file:
    json.dump([False] * 20 + [True] * 40 + [False] * 20, file)
