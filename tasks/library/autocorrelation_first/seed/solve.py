"""Writes the values of a step function on [-1/4, 1/4] to steps.json."""

import json

STEPS = [
    1.0, 1.3, 1.2, 1.4, 1.3, 1.6, 1.1, 1.1, 1.2, 1.9,
    1.3, 0.9, 0.9, 1.8, 1.6, 1.1, 0.7, 1.5, 1.7, 1.4,
    0.8, 1.3, 1.4, 1.5, 1.2, 1.4, 1.1, 1.2, 1.3, 1.7,
    1.2, 0.9, 1.1, 1.9, 1.5, 1.0, 0.8, 1.7, 1.7, 1.3,
]


def main() -> None:
    with open("steps.json", "w", encoding="utf-8") as file:
        json.dump(STEPS, file)


if __name__ == "__main__":
    main()
