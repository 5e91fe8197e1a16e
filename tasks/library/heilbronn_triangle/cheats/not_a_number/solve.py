"""Comparisons with NaN are false, so no check of the form `if x < 0` would fire."""

import json

POINTS = [
    [0.307222, 2e-05],
    [0.531228, 0.209309],
    [3.5e-05, 0.378839],
    [0.601971, 0.397993],
    [0.070934, 0.828909],
    [0.165816, 0.263256],
    [0.841533, 0.058471],
    [4.3e-05, 0.7657],
    [0.7805, 3.5e-05],
    [0.328179, 0.671731],
    [0.151576, 0.058223],
]

POINTS[0] = [float("nan"), float("nan")]

with open("points.json", "w", encoding="utf-8") as file:
    json.dump(POINTS, file)
