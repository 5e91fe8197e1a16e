"""Search and replace: exact, tolerant of white space, and never a guess."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.agents.edit import EditError, replace_once

SOURCE = """\
def one():
    if True:
        return 1


def two():
    return 2
"""

lines = st.lists(st.text("ab \t", max_size=6), max_size=8).map("\n".join)


def test_an_exact_match_is_replaced() -> None:
    edited = replace_once(SOURCE, "return 2", "return 3")
    assert edited.exact
    assert edited.text == SOURCE.replace("return 2", "return 3")


def test_an_ambiguous_match_changes_nothing_and_names_the_lines() -> None:
    with pytest.raises(EditError, match=r"2 times \(lines 3, 7\)"):
        replace_once(SOURCE, "return ", "yield ")


def test_overlapping_matches_are_ambiguous() -> None:
    with pytest.raises(EditError, match="2 times"):
        replace_once("aaa", "aa", "b")


def test_trailing_white_space_does_not_matter() -> None:
    edited = replace_once("a  \nb\t\nc\n", "a\nb\n", "x\ny\n")
    assert not edited.exact
    assert edited.text == "x\ny\nc\n"


def test_other_indentation_is_carried_over() -> None:
    edited = replace_once(
        SOURCE, "if True:\n    return 1", "if False:\n    return 4\nelse:\n    pass"
    )
    assert edited.text == SOURCE.replace(
        "    if True:\n        return 1",
        "    if False:\n        return 4\n    else:\n        pass",
    )


def test_indentation_can_also_be_taken_away() -> None:
    edited = replace_once("a = 1\nb = 2\n", "    a = 1\n    b = 2", "    a = 3\n    b = 4")
    assert edited.text == "a = 3\nb = 4\n"


def test_another_structure_is_no_match() -> None:
    with pytest.raises(EditError, match="matches nothing"):
        replace_once("if a:\n    b\nc\n", "if a:\nb\nc", "x")


def test_tolerant_matches_can_be_ambiguous_too() -> None:
    with pytest.raises(EditError, match=r"2 times \(lines 1, 3\)"):
        replace_once("  a\nb\n    a\n", "\ta\n", "c")


def test_line_ends_of_the_file_are_kept() -> None:
    edited = replace_once("a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\n")
    assert edited.text == "x\r\ny\r\nc\r\n"


def test_without_a_match_the_nearest_text_is_shown() -> None:
    with pytest.raises(EditError, match="nearest text") as raised:
        replace_once(SOURCE, "def two():\n    return 22\n    pass", "x")
    assert "    6\tdef two():" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "search", "replacement", "message"),
    [
        ("a", "", "b", "empty"),
        ("a", " \n ", "b", "empty"),
        ("a", "a", "a", "nothing would change"),
        ("", "a", "b", "file is empty"),
    ],
)
def test_nonsense_is_refused(text: str, search: str, replacement: str, message: str) -> None:
    with pytest.raises(EditError, match=message):
        replace_once(text, search, replacement)


def test_lines_can_be_removed() -> None:
    assert replace_once("a \nb\nc\n", "a\nb", "").text == "c\n"


@given(lines, lines, lines, st.text("xy", min_size=1, max_size=5))
def test_an_edit_changes_only_what_was_searched(
    before: str, search: str, after: str, replacement: str
) -> None:
    assume(search.strip())
    text = before + search + after
    try:
        edited = replace_once(text, search, replacement)
    except EditError as error:
        why = str(error)  # the text is there, so it can only be ambiguous
    else:
        why = "2 times"
        assert edited.exact
        assert edited.text == before + replacement + after
    assert "times" in why


@given(lines, lines, lines)
def test_any_edit_is_one_replacement_or_an_error(text: str, search: str, replacement: str) -> None:
    try:
        edited = replace_once(text, search, replacement)
    except EditError:
        return
    if edited.exact:
        assert text.count(search) == 1
        assert edited.text == text.replace(search, replacement)
    else:
        assert search not in text
        # Lines outside the match are as they were.
        wanted = len(search.strip("\n").splitlines())
        kept = len(text.splitlines()) - wanted
        old, new = text.splitlines(keepends=True), edited.text.splitlines(keepends=True)
        same_head = next(
            (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
            min(len(old), len(new)),
        )
        same_tail = next(
            (
                i
                for i, (a, b) in enumerate(zip(reversed(old), reversed(new), strict=False))
                if a != b
            ),
            min(len(old), len(new)),
        )
        assert same_head + same_tail >= kept


@given(
    st.lists(st.text("abc:", min_size=1, max_size=6), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(0, 2), min_size=5, max_size=5),
    st.integers(0, 3),
)
def test_a_shifted_block_is_found_and_put_back_with_its_shift(
    words: list[str], depths: list[int], shift: int
) -> None:
    block = [" " * 4 * depth + word for word, depth in zip(words, depths, strict=False)]
    text = "".join(" " * 4 * shift + line + "\n" for line in block)
    new = [line.replace("a", "A") + "!" for line in block]
    edited = replace_once(text, "\n".join(block) + "\n", "\n".join(new) + "\n")
    assert edited.text == "".join(" " * 4 * shift + line + "\n" for line in new)
