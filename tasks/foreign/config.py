"""Configuration files of other tools: read, not judged; what is not understood becomes a note."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from harness.errors import TaskError

MAX_CONFIG_BYTES = 4 * 1024 * 1024


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty when the file is missing or holds nothing.

    Raises:
        TaskError: It is not YAML, or no mapping.
    """
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        loaded: Any = yaml.safe_load(text) if len(text) <= MAX_CONFIG_BYTES else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where is not None else ""
        raise TaskError(
            f"{path}{line} is not YAML: {getattr(error, 'problem', None) or error}",
            expected="a YAML file with a mapping",
            action=f"correct {path.name}",
        ) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise TaskError(
            f"{path} holds a {type(loaded).__name__}",
            expected="a mapping of keys to values",
            action=f"correct {path.name}",
        )
    return cast(dict[str, Any], loaded)


def is_a(kind: type, value: Any) -> bool:
    """`isinstance`, without telling a type checker: what is inside stays `Any`."""
    return isinstance(value, kind)


class Keys:
    """A mapping of which is known what was asked for: what was not becomes notes."""

    def __init__(self, values: Mapping[str, Any], path: Path, prefix: str = "") -> None:
        self._values = values
        self._path = path
        self._prefix = prefix
        self._asked: set[str] = set()
        self._sections: dict[str, Keys] = {}

    def section(self, key: str) -> "Keys":
        """The mapping at `key`, the same each time; an empty one where there is none.

        Raises:
            TaskError: It is something else.
        """
        if key in self._sections:
            return self._sections[key]
        value: Any = self.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, value, "a mapping")
        found = Keys(cast(dict[str, Any], value), self._path, f"{self._prefix}{key}.")
        self._sections[key] = found
        return found

    def get(self, key: str, default: Any = None) -> Any:
        """The value at `key`, of whatever kind."""
        self._asked.add(key)
        value = self._values.get(key)
        return default if value is None else value

    def all(self) -> dict[str, Any]:
        """Everything, whatever it is."""
        self._asked |= set(self._values)
        return dict(self._values)

    def text(self, key: str, default: str = "") -> str:
        """
        Raises:
            TaskError: The value is not a text.
        """
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, value, "a text")
        return value

    def number(self, key: str, default: float) -> float:
        """
        Raises:
            TaskError: The value is not a number.
        """
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, value, "a number")
        return value

    def texts(self, key: str) -> list[str]:
        """
        Raises:
            TaskError: The value is not a list of texts.
        """
        value: Any = self.get(key, [])
        if isinstance(value, str):
            return [value]
        if not is_a(list, value):
            raise self.wrong(key, value, "a list of texts")
        items: list[Any] = value
        if not all(isinstance(item, str) for item in items):
            raise self.wrong(key, items, "a list of texts")
        return [str(item) for item in items]

    def wrong(self, key: str, value: Any, expected: str) -> TaskError:
        """The error for a value that cannot be used."""
        return TaskError(
            f"{self._path}: '{self._prefix}{key}' is {value!r:.80}",
            expected=expected,
            action=f"correct {self._path.name}",
        )

    def unknown(self) -> Iterator[str]:
        """Keys that nobody asked for, with the sections they are in."""
        for key in self._values:
            if key not in self._asked:
                yield f"{self._prefix}{key}"
        for section in self._sections.values():
            yield from section.unknown()
