"""Writes the values of a step function on [0, 2] to steps.json."""

import json

STEPS = [
    0.3, 0.42, 0.55, 0.37, 0.5, 0.33, 0.46, 0.59, 0.42, 0.55,
    0.39, 0.52, 0.65, 0.48, 0.61, 0.44, 0.57, 0.69, 0.52, 0.64,
    0.46, 0.58, 0.69, 0.51, 0.62, 0.43, 0.54, 0.65, 0.46, 0.57,
    0.37, 0.48, 0.59, 0.4, 0.51, 0.32, 0.43, 0.55, 0.36, 0.48,
]


def main() -> None:
    with open("steps.json", "w", encoding="utf-8") as file:
        json.dump(STEPS, file)


if __name__ == "__main__":
    main()
