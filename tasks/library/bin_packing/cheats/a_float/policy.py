"""A float is no index."""


def choose(item, free):
    return 0.0 if free else -1
