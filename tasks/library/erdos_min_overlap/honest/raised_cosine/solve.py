"""A raised cosine on 200 steps."""

import json
import math

STEPS = [0.5 - 0.5 * math.cos(math.pi * (k + 0.5) / 100) for k in range(200)]

with open("steps.json", "w", encoding="utf-8") as file:
    json.dump(STEPS, file)
