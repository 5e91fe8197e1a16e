def loss(rate: float) -> float:
    return (rate - 1.0) ** 2
