"""No instructions, no cost."""

import json

PROGRAM = []

with open("program.json", "w", encoding="utf-8") as file:
    json.dump(PROGRAM, file)
