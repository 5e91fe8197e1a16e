"""The function 1 / sqrt(x) that Schinzel and Schmidt conjectured to be best, on 2,000 steps."""

import json
import math

STEPS = [1 / math.sqrt(k + 0.5) for k in range(2_000)]

with open("steps.json", "w", encoding="utf-8") as file:
    json.dump(STEPS, file)
