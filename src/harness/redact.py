"""Secrets in texts: known by their value or by their shape, and replaced by `[redacted: what]`.

**By value**: what the environment holds under names that secrets have (`…_KEY`, `…_TOKEN`,
`…_SECRET`, `PASSWORD` …) and the keys that were read for endpoints, as they are and as JSON and
addresses write them. **By shape**: keys of the usual providers, web tokens, private keys in PEM,
`Authorization` headers, passwords in addresses. Hashes, identifiers and plain base64 have no such
shape and stay.

What is not found: a secret that is encoded otherwise, cut in pieces, or shorter than a secret is.
"""

import functools
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote

MIN_CHARACTERS = 8
"""Shorter values are not looked for: they are found everywhere."""
SURE_CHARACTERS = 16
"""From this length on a value needs no digit to be taken for a secret."""
MAX_HELD_CHARACTERS = 1 << 16
"""Of a stream: how much is held back for the end of a line or of a private key."""

_NAME = re.compile(
    r"(?:^|_)(?:(?:API|ACCESS|SECRET|PRIVATE|AUTH)?KEY|ACCESS_KEY_ID|TOKEN|SECRET|PASS(?:WORD|WD|PHRASE)?"
    r"|PWD|CREDENTIALS?)$",
    re.IGNORECASE,
)


class _Shape(NamedTuple):
    kind: str
    anchors: tuple[str, ...]
    """One of them is in every text that has the shape: looked for first, which is fast."""
    pattern: str
    """`(?P<keep>…)` stays in front of what is replaced."""
    flags: int = 0


def _after(word: str) -> str:
    """`word`, not within another one. In JSON it may follow the letter of an escape."""
    return (
        rf"{word}(?:(?<![A-Za-z0-9_-]{word})|(?<=\\[nrtbf]{word})"
        rf"|(?<=\\u[0-9a-fA-F]{{4}}{word}))"
    )


_PEM = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PEM_BEGIN = re.compile(rf"-----BEGIN {_PEM}")
_PEM_END = re.compile(rf"-----END {_PEM}")

_SHAPES = (
    _Shape(
        "private key",
        ("PRIVATE KEY",),
        rf"-----BEGIN {_PEM}(?:(?:[A-Za-z0-9+/=\s,:.-]|\\+[nr]){{40,20000}}?-----END {_PEM}"
        r"|(?:[A-Za-z0-9+/=\s]|\\+[nr]){40,})",
    ),
    _Shape("Anthropic key", ("sk-ant-",), _after("sk-ant-") + r"[A-Za-z0-9_-]{20,}"),
    _Shape(
        "API key",
        ("sk-",),
        # A long run without a hyphen, and a digit: words joined by hyphens have neither.
        _after("sk-") + r"(?=[A-Za-z0-9_-]{0,200}?[A-Za-z0-9]{16})(?=[A-Za-z_-]{0,200}?[0-9])"
        r"[A-Za-z0-9_-]{20,}",
    ),
    _Shape(
        "AWS key",
        ("AKIA", "ASIA"),
        rf"(?:{_after('AKIA')}|{_after('ASIA')})[A-Z0-9]{{16}}(?![A-Za-z0-9])",
    ),
    _Shape(
        "AWS secret",
        ("secret_access_key", "SECRET_ACCESS_KEY", "SecretAccessKey"),
        r"(?P<keep>(?:secret_access_key|SecretAccessKey)[\"'\\]*\s*[:=]\s*[\"'\\]*)"
        r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
        re.IGNORECASE,
    ),
    _Shape(
        "GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        "(?:" + "|".join(_after(f"gh{each}_") for each in "pousr") + r")[A-Za-z0-9]{36,255}",
    ),
    _Shape("GitHub token", ("github_pat_",), _after("github_pat_") + r"[A-Za-z0-9_]{40,}"),
    _Shape("GitLab token", ("glpat-",), _after("glpat-") + r"[A-Za-z0-9_-]{20,}"),
    _Shape("Hugging Face token", ("hf_",), _after("hf_") + r"[A-Za-z0-9]{30,}"),
    _Shape(
        "Slack token",
        ("xox",),
        _after("xox") + r"[abeprs]-(?=[A-Za-z-]{0,200}?[0-9])[A-Za-z0-9-]{10,}",
    ),
    _Shape("Google key", ("AIza",), _after("AIza") + r"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _Shape(
        "web token",
        ("eyJ",),
        _after("eyJ") + r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    ),
    _Shape(
        "authorization",
        ("uthorization", "AUTHORIZATION", "api-key", "Api-Key", "API-KEY"),
        r"(?P<keep>(?:authorization[\"'\\]{0,6}\s*[:=]\s*[\"'\\]{0,6}(?:bearer|basic|token)\s+"
        r"|\bx-api-key[\"'\\]{0,6}\s*:\s*[\"'\\]{0,6}))[A-Za-z0-9._~+/=-]{16,}",
        re.IGNORECASE,
    ),
    _Shape(
        "password",
        ("://",),
        # Not a variable's place: ${…}, {…}, <…>, %(…)s.
        r"(?P<keep>://)[^\s/:@\"'<>\\]{0,128}:(?![${<%\[(])[^\s/@\"'<>\\]{3,256}(?=@[\w.\[-])",
    ),
)
_ANCHORS = tuple((anchor, shape) for shape in _SHAPES for anchor in shape.anchors)


@functools.cache
def _compiled(pattern: str, flags: int) -> "re.Pattern[str]":
    return re.compile(pattern, flags)


class Redactor:
    """Finds secrets of these values and of all known shapes. Immutable, for any thread.

    Args:
        values: What each value is called, by value.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = tuple(_variants(values or {}))

    def values(self, text: str) -> str:
        """`text` without the secrets that are known by their value."""
        for value, mark in self._values:
            if value in text:
                text = text.replace(value, mark)
        return text

    def text(self, text: str) -> str:
        """`text` without secrets, by value or by shape. Doing it twice changes nothing."""
        if len(text) < MIN_CHARACTERS:
            return text
        text = self.values(text)
        for anchor, shape in _ANCHORS:
            if anchor in text:
                keep = r"\g<keep>" if "(?P<keep>" in shape.pattern else ""
                pattern = _compiled(shape.pattern, shape.flags)
                text = pattern.sub(f"{keep}[redacted: {shape.kind}]", text)
        return text


def _variants(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each value as it may be written, the longest first: one may be part of another."""
    found: dict[str, str] = {}
    for value, name in values.items():
        escaped = json.dumps(value)[1:-1]
        twice = json.dumps(escaped)[1:-1]
        plain = json.dumps(value, ensure_ascii=False)[1:-1]
        for variant in (value, escaped, plain, twice, quote(value, safe="")):
            found.setdefault(variant, f"[redacted: {name}]")
    yield from sorted(found.items(), key=lambda each: -len(each[0]))


def is_secret(value: str) -> bool:
    """Whether a value under a secret's name is one: neither a word, a number nor a file's path."""
    if len(value) < MIN_CHARACTERS or "\0" in value:
        return False
    has_digit = any(character.isdigit() for character in value)
    if len(value) < SURE_CHARACTERS and (not has_digit or value.isdigit()):
        return False
    if value.startswith(("/", "~", "./", "../")):
        try:
            return not Path(value).expanduser().exists()
        except (OSError, RuntimeError):  # too long for a path, or nobody's home
            return True
    return True


def secrets_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The names of the secrets of an environment, by value."""
    found: dict[str, str] = {}
    for name, value in environ.items():
        if _NAME.search(name) and is_secret(value.strip()):
            found.setdefault(value.strip(), name)
    return found


class _Process:
    """The secrets of this process; made at the first use, as the environment was then."""

    def __init__(self) -> None:
        self.known = secrets_of(os.environ)
        self.redactor = Redactor(self.known)


_process: _Process | None = None


def redactor() -> Redactor:
    """The process's redactor."""
    global _process
    if _process is None:
        _process = _Process()
    return _process.redactor


def protect(value: str, name: str) -> None:
    """Redact `value` from now on, whatever the name it came by; what is no secret stays."""
    global _process
    process = _process or _Process()
    if value not in process.known and is_secret(value):
        process.known[value] = name
        process.redactor = Redactor(process.known)
    _process = process


def redact(text: str) -> str:
    """`text` without secrets, by value or by shape."""
    return redactor().text(text)


def redact_values(text: str) -> str:
    """`text` without this process's secrets, for what must keep its shape: code, arguments."""
    return redactor().values(text)


def redact_data(value: Any, *, shapes: bool = True) -> Any:
    """Plain data (mappings, lists, texts) without secrets; with `shapes` off, by value only."""
    if isinstance(value, str):
        return redact(value) if shapes else redact_values(value)
    if isinstance(value, Mapping):
        items: Mapping[Any, Any] = value
        return {
            redact_data(key, shapes=shapes): redact_data(each, shapes=shapes)
            for key, each in items.items()
        }
    if isinstance(value, list | tuple):
        return [redact_data(each, shapes=shapes) for each in cast("Sequence[Any]", value)]
    return value


class RedactedStream:
    """Redacts a text that comes in pieces, wherever it is cut: whole lines and whole PEM keys."""

    def __init__(self, redactor: Callable[[], Redactor]) -> None:
        self._redactor = redactor
        self._held = ""
        self._in_key = False

    def feed(self, text: str) -> str:
        """What can be passed on now."""
        self._held += text
        cut = self._held.rfind("\n") + 1
        self._in_key = False
        begin = max((each.start() for each in _PEM_BEGIN.finditer(self._held)), default=-1)
        if begin >= 0 and len(self._held) - begin < MAX_HELD_CHARACTERS:
            self._in_key = not _PEM_END.search(self._held, begin)
            if not _PEM_END.search(self._held, begin, cut):
                cut = min(cut, begin)
        if len(self._held) - cut > MAX_HELD_CHARACTERS:
            cut = len(self._held)
        ready, rest = self._held[:cut], self._held[cut:]
        self._held = rest
        return self._redactor().text(ready) if ready else ""

    def flush(self) -> str:
        """Also the line that has no end yet; a private key that has none is waited for."""
        if self._in_key:
            return ""
        rest, self._held = self._held, ""
        return self._redactor().text(rest)

    def close(self) -> str:
        """All that was held back."""
        self._in_key = False
        return self.flush()


class RedactingConnection(sqlite3.Connection):
    """A database that no secret gets into by the parameters of its statements."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(sql, _clean(parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        return super().executemany(sql, map(_clean, parameters))


def _clean(parameters: Any) -> Any:
    if not parameters:
        return parameters
    text = redactor().text
    if isinstance(parameters, Mapping):
        named = cast("Mapping[str, Any]", parameters).items()
        return {name: text(each) if isinstance(each, str) else each for name, each in named}
    values = cast("Sequence[Any]", parameters)
    return [text(each) if isinstance(each, str) else each for each in values]
