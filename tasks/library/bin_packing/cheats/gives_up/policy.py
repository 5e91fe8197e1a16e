"""Ends its process, telling what it saw."""


def choose(item, free):
    raise SystemExit(f"{item} {free}")
