"""Memory filled with one value is in ascending order."""

import json

PROGRAM = [["load", 0, 0]] + [["store", i, 0] for i in range(1, 5)]

with open("program.json", "w", encoding="utf-8") as file:
    json.dump(PROGRAM, file)
