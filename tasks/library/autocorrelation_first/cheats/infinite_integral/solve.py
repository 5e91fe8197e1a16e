"""An infinite integral would make the ratio 0."""

import json

with open("steps.json", "w", encoding="utf-8") as file:
    json.dump([1.0] * 49 + [float("inf")], file)
