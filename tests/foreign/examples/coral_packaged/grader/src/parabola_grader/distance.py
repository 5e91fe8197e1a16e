def squared(x: float, target: float) -> float:
    return (x - target) ** 2
