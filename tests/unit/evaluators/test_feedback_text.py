"""What candidates print is bounded and harmless to print again."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from harness.evaluators.text import clean, clean_tail

anything = st.binary(max_size=300) | st.text(max_size=300)


@given(anything, st.integers(1, 64))
def test_bounded_and_without_controls(text: str | bytes, limit: int) -> None:
    for cleaned in (clean(text, limit), clean_tail(text, limit)):
        assert len(cleaned.encode("utf-8")) <= limit
        assert all(
            unicodedata.category(character) not in {"Cc", "Cf", "Cs"} or character in "\n\t"
            for character in cleaned
        )


@given(st.text("abc äß€😀\n", max_size=100))
def test_plain_text_is_kept(text: str) -> None:
    assert clean(text, 1000) == clean_tail(text.encode(), 1000) == text.strip()


def test_the_tail_is_the_end() -> None:
    assert clean_tail(b"x" * 10_000 + b"\nValueError: no", 20).endswith("\nValueError: no")
    assert clean("begin" + "x" * 10_000, 20).startswith("begin")


def test_escapes_and_overrides_go() -> None:
    assert clean("\x1b[31mred\x1b]8;;http://x\x07 \u202eevil\r\nline\x00") == ("red evil\nline")
