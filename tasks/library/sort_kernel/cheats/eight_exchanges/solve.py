"""A network with one compare-exchange too few: most inputs come out sorted."""

import json

PROGRAM = [["load", i, i] for i in range(5)]
for a, b in [(0, 1), (3, 4), (2, 4), (2, 3), (1, 4), (0, 3), (0, 2), (1, 3)]:
    PROGRAM += [["mov", 5, a], ["cmp", a, b], ["cmovg", a, b], ["cmovg", b, 5]]
PROGRAM += [["store", i, i] for i in range(5)]

with open("program.json", "w", encoding="utf-8") as file:
    json.dump(PROGRAM, file)
