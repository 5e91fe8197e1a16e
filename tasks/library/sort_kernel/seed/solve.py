"""Writes the program to program.json."""

import json

from kernel import build


def main() -> None:
    with open("program.json", "w", encoding="utf-8") as file:
        json.dump(build(), file)


if __name__ == "__main__":
    main()
