"""The same large circle 26 times."""

import json

with open("circles.json", "w", encoding="utf-8") as file:
    json.dump([[0.5, 0.5, 0.5]] * 26, file)
