"""Implementations by name: built in, by entry point, or `package.module:Class`."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harness.errors import ConfigurationError


def load_plugin(name: str, *, group: str, built_in: Mapping[str, str], what: str, flag: str) -> Any:
    """The class that `name` stands for. Only the module that is needed gets imported.

    Args:
        name: A key of `built_in`, an entry point of `group`, or `package.module:Class`.
        group: Entry-point group of third parties.
        built_in: `package.module:Class` by name.
        what: What it is, for messages: `search policy`.
        flag: Where it is set, for messages: `--search`.

    Raises:
        ConfigurationError: No such name (lists those that exist), or it cannot be imported.
    """
    reference = built_in.get(name) or (name if ":" in name else None)
    if reference is None:
        # Looking for plug-ins reads the metadata of every installed package: a tenth of a second.
        plugins = {point.name: point.value for point in entry_points(group=group)}
        if name not in plugins:
            raise ConfigurationError(
                f"there is no {what} {name!r}",
                expected=f"one of {', '.join(sorted({*plugins, *built_in}))},"
                " or package.module:Class",
                action=f"set {flag} to one of these",
            )
        reference = plugins[name]
    try:
        return EntryPoint(name, reference, group).load()
    except (ImportError, AttributeError) as error:
        module, _, attribute = reference.partition(":")
        raise ConfigurationError(
            f"the {what} {reference!r} cannot be loaded: {error}",
            expected=f"a module {module!r} on the path with a class {attribute!r}",
            action=f"install the package that provides it, or correct {flag}",
        ) from error
