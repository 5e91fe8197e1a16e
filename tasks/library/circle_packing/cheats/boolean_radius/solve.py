"""`true` counts as 1 in Python's arithmetic."""

import json

with open("circles.json", "w", encoding="utf-8") as file:
    json.dump([[0.5, 0.5, True]] + [[k / 30, 0.01, 0.005] for k in range(1, 26)], file)
