"""Writes the program to program.json."""

import json

from kernel import PROGRAM


def main() -> None:
    with open("program.json", "w", encoding="utf-8") as file:
        json.dump(PROGRAM, file)


if __name__ == "__main__":
    main()
