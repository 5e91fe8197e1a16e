def height(x: float) -> float:
    return 10.0 - (x - 2.5) ** 2
