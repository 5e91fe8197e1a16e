"""Fits a constant. Agents start here."""

import json
from pathlib import Path


def fit(x: list[float], y: list[float]) -> list[float]:
    """Coefficients of the polynomial, lowest power first."""
    return [sum(y) / len(y)]


def main() -> None:
    data = json.loads(Path("train.json").read_text(encoding="utf-8"))
    answer = {"coefficients": fit(data["x"], data["y"])}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
