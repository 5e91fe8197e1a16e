"""Names instructions and cells the machine does not have."""

import json

PROGRAM = [["sort", 0, 4], ["store", -1, 0]]

with open("program.json", "w", encoding="utf-8") as file:
    json.dump(PROGRAM, file)
