def error(found, wanted):
    return sum(abs(a - b) for a, b in zip(found, wanted, strict=True))
