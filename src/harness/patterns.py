"""Patterns as in `.gitignore`, matched against paths relative to the top of a tree."""

from collections.abc import Callable
from functools import lru_cache


@lru_cache(maxsize=256)
def matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a path (a folder's ends in `/`) is matched by the patterns.

    A pattern without a slash matches at every depth (`/solve.py` only at the top).

    Raises:
        ValueError: A pattern is malformed, empty or a comment.
    """
    if patterns in {("**",), ()}:  # the defaults, on the path of every submission
        everything = bool(patterns)
        return lambda path: everything
    import pathspec  # tens of milliseconds that a plain scan and `--help` need not pay

    spec = pathspec.GitIgnoreSpec.from_lines(patterns)
    if len(spec.patterns) != len(patterns) or any(one.include is None for one in spec.patterns):
        raise ValueError(f"not all of {list(patterns)} are gitignore patterns that match a file")
    return spec.match_file
