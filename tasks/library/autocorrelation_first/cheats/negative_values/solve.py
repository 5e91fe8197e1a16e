"""With values of both signs f * f has no large peak."""

import json

with open("steps.json", "w", encoding="utf-8") as file:
    json.dump([1.0, 1.0, -1.0] * 30, file)
