"""Negative indices, as in Python lists."""


def choose(item, free):
    return -2 if len(free) > 1 else -1
