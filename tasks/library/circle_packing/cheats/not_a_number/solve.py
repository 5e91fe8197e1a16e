"""Comparisons with NaN are false, so no check of the form `if gap < 0` would fire."""

import json

with open("circles.json", "w", encoding="utf-8") as file:
    json.dump([[0.5, 0.5, float("nan")]] * 26, file)
