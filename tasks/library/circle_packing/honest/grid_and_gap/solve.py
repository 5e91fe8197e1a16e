"""A 5 x 5 grid of circles of radius 1/10 and one between four of them: the baseline."""

import json
import math

SHRINK = 1 - 1e-12
circles = [[0.1 + 0.2 * i, 0.1 + 0.2 * j, 0.1 * SHRINK] for i in range(5) for j in range(5)]
circles.append([0.2, 0.2, 0.1 * (math.sqrt(2) - 1) * SHRINK])

with open("circles.json", "w", encoding="utf-8") as file:
    json.dump(circles, file)
