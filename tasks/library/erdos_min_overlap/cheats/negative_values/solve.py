"""With negative values 1 - h exceeds 1 and overlaps cancel."""

import json

with open("steps.json", "w", encoding="utf-8") as file:
    json.dump([-1.0] * 25 + [2.0] * 50 + [-1.0] * 25, file)
