"""Text that agents, candidates and judges wrote, before it is stored, printed or shown."""

import re
import unicodedata

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # OSC: window titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\|$)"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"  # two-character escapes
)
_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")


_KEPT = frozenset("\n\t")
# Control, format (bidirectional overrides, zero width, tags that only a model reads), surrogates.
_DROPPED = frozenset({"Cc", "Cf", "Cs"})


def visible(text: str) -> str:
    """`text` without terminal escapes, control (but tab, newline) and invisible characters."""
    text = _ESCAPES.sub("", _NEWLINES.sub("\n", text))
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        for character in text
        if character in _KEPT or unicodedata.category(character) not in _DROPPED
    )
