"""Writes 11 points [x, y] of the triangle (0, 0), (1, 0), (0, 1) to points.json."""

import json

POINTS = [
    [0.04, 0.06],
    [0.05, 0.61],
    [0.13, 0.81],
    [0.14, 0.18],
    [0.19, 0.44],
    [0.21, 0.03],
    [0.30, 0.51],
    [0.41, 0.14],
    [0.49, 0.23],
    [0.53, 0.38],
    [0.84, 0.12],
]


def main() -> None:
    with open("points.json", "w", encoding="utf-8") as file:
        json.dump(POINTS, file)


if __name__ == "__main__":
    main()
