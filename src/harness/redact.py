"""Takes secrets out of text before it is written down.

By value: what the environment holds under a name that says so (`*_KEY`, `*_TOKEN`, `*SECRET*`,
`*PASSWORD*`), and keys that are learnt when they are read. By pattern: the forms in which providers
give out keys. Hashes, identifiers and ordinary code stay as they are.
"""

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

_NAMES = re.compile(
    r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(_?\d+)?$", re.IGNORECASE
)
_MIN_CHARACTERS, _SURELY_RANDOM = 8, 16


class _Pattern(NamedTuple):
    """`hint` is in every match: looking for it first costs next to nothing."""

    name: str
    hint: str
    expression: re.Pattern[str]


# The beginning of a word, also after an escape of JSON such as \\n.
_BEGIN = r"(?:(?<![\w-])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))"


def _patterns(*rows: tuple[str, str, str]) -> tuple[_Pattern, ...]:
    return tuple(_Pattern(name, hint, re.compile(_BEGIN + text)) for name, hint, text in rows)


# The group `kept` stays.
_PATTERNS = _patterns(
    # Words joined by hyphens are none: a key has a long part without one, with a digit in it.
    ("key", "sk-", r"sk-(?:[\w]+-)*(?=\w*\d)\w{16}[\w-]*"),
    ("AWS key", "AKIA", r"AKIA[A-Z0-9]{16}\b"),
    ("AWS key", "ASIA", r"ASIA[A-Z0-9]{16}\b"),
    ("GitHub token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,}\b"),
    ("GitHub token", "github_pat_", r"github_pat_\w{22,}"),
    ("GitLab token", "glpat-", r"glpat-[\w-]{20,}"),
    ("Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,}\b"),
    ("npm token", "npm_", r"npm_[A-Za-z0-9]{36}\b"),
    ("Slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("Google key", "AIza", r"AIza[\w-]{35}"),
    ("token", "eyJ", r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    (
        "private key",
        "PRIVATE KEY",
        # One without an end goes on to the next quote: a line of JSON stays one.
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"']*?(?:-----END [A-Z ]*KEY-----|(?=\\?[\"'])|\Z)",
    ),
    ("token", "earer ", r"(?P<kept>[Bb]earer )[\w.~+/=-]{16,}"),
    ("credentials", "asic ", r"(?P<kept>[Aa]uthorization\W{1,4}[Bb]asic )[A-Za-z0-9+/=]{8,}"),
    ("key", "api-key", r"(?P<kept>x-api-key\W{1,4})[\w-]{16,}"),
    ("AWS key", "secret_access_key", r"(?P<kept>aws_secret_access_key\W{1,4})[A-Za-z0-9+/]{40}"),
    # Not what stands for a password in a text: <password>, {password}, $PASSWORD.
    ("password", "://", r"(?P<kept>\w+://[^\s/:@\"']{1,64}:)[^\s/@\"'<>{}$*]{1,256}(?=@)"),
)


class Redactor:
    """Replaces secrets by `[redacted: what it was]`. Safe to call from any thread."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, str] = {}
        for name, value in (environment or {}).items():
            if _NAMES.search(name) and _looks_secret(value):
                self.learn(name, value)

    def learn(self, name: str, value: str) -> None:
        """Never write `value` from now on; what is too short to be one is left alone."""
        if len(value) >= _MIN_CHARACTERS:
            # Longest first: one secret may be the beginning of another.
            # As JSON holds it, and as JSON within JSON does.
            once = json.dumps(value, ensure_ascii=False)[1:-1]
            twice = json.dumps(once, ensure_ascii=False)[1:-1]
            known = {**self._values, value: name, once: name, twice: name}
            self._values = dict(sorted(known.items(), key=lambda item: -len(item[0])))

    def values(self, text: str) -> str:
        """`text` without secrets that are known by their value."""
        for value, name in self._values.items():
            if value in text:
                text = text.replace(value, f"[redacted: {name}]")
        return text

    def __call__(self, text: str) -> str:
        """`text` without secrets."""
        text = self.values(text)
        for name, hint, expression in _PATTERNS:
            if hint in text:
                text = expression.sub(partial(_replaced, name), text)
        return text


def _replaced(name: str, found: re.Match[str]) -> str:
    kept = found.groupdict().get("kept") or ""
    return f"{kept}[redacted: {name}]"


def _looks_secret(value: str) -> bool:
    """Not a word, a number, a path or a switch: replacing those would garble everything."""
    if len(value) < _MIN_CHARACTERS or any(character.isspace() for character in value):
        return False
    if value.startswith(("/", "~", "./", "http://", "https://")) or value.isdigit():
        return False
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return mixed or len(value) >= _SURELY_RANDOM


redact = Redactor(os.environ)
"""Of this process. Keys that come from elsewhere are learnt by it."""


class RedactingConnection(sqlite3.Connection):
    """Writes no text with a secret in it: for `sqlite3.connect(factory=...)`."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.execute`, with texts redacted."""
        return super().execute(sql, _clean(parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.executemany`, with texts redacted."""
        return super().executemany(sql, map(_clean, parameters))


def _clean(parameters: Any) -> Any:
    if isinstance(parameters, Mapping):
        named = cast("Mapping[str, object]", parameters)
        return {key: _cleaned(value) for key, value in named.items()}
    if isinstance(parameters, Sequence):
        return [_cleaned(value) for value in cast("Sequence[object]", parameters)]
    return parameters


def _cleaned(value: object) -> object:
    return redact(value) if type(value) is str else value
