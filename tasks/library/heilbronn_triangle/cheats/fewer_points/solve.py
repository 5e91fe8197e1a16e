"""Five points are easy to keep apart."""

import json

with open("points.json", "w", encoding="utf-8") as file:
    json.dump([[0, 0], [1, 0], [0, 1], [0.25, 0.3], [0.4, 0.35]], file)
