FIRST = 1.0
SECOND = 2.0


def values():
    return [FIRST, SECOND]
