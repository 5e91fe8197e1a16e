"""The version of the installed distribution, without importing anything heavy."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Version of the installed `research-harness`, or `0+unknown` from a bare source tree."""
    try:
        return version("research-harness")
    except PackageNotFoundError:
        return "0+unknown"
