"""True is no index."""


def choose(item, free):
    return True if len(free) > 1 else -1
