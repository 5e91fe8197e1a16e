"""Text as the memory sees it: cleaned before it is kept, cut into words before it is searched."""

import re
import unicodedata
from collections.abc import Iterator

from harness.text import visible

MAX_TITLE_CHARS = 300
MAX_TEXT_CHARS = 16_000

_WORD = re.compile(
    r"[a-z]+|[0-9]+"
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # scripts without spaces: a character a word
    r"|[^\W\d_a-z\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_MAX_WORD_CHARS = 40

_FUNCTION_WORDS = """
a about above after again all also am an and any are as at be because been before being
below between both but by can could did do does doing down during each few for from further
had has have having he her here hers him his how i if in into is it its itself just me more
most my no nor not now of off on once only or other our out over own per same she should so
some such than that the their them then there these they this those through to too under
until up upon use used using very via was we were what when where which while who whom why
will with within without would you your
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English function words: they say nothing of what a text is about."""


def clean(text: str, *, limit: int) -> str:
    """`text` without terminal escapes, control and invisible characters, at most `limit` long.

    What is cut is counted in the text itself.
    """
    text = visible(text)
    if len(text) <= limit:
        return text
    mark = f" … [{len(text) - limit} characters cut]"
    return text[: max(0, limit - len(mark))] + mark if len(mark) < limit else text[:limit]


def one_line(text: str, *, limit: int) -> str:
    """`text` cleaned and put on one line."""
    return " ".join(clean(text, limit=max(4 * limit, limit)).split())[:limit]


def words(text: str) -> list[str]:
    """The words of `text` in order: lower case, no accents, identifiers split, no function words.

    `stepSize`, `step_size` and `step size` are the same two words.
    """
    return [word for word in _all_words(text) if word not in STOP_WORDS]


def _all_words(text: str) -> Iterator[str]:
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in decomposed if not unicodedata.combining(char))
        text = unicodedata.normalize("NFC", text)
    for match in _WORD.finditer(_HUMP.sub(" ", text).lower()):
        yield match.group()[:_MAX_WORD_CHARS]


def index_token(word: str) -> str:
    """`word` as a token that SQLite's tokenizer keeps whole, whatever its Unicode version."""
    return word if word.isascii() else "u" + word.encode("utf-8", "replace").hex()
