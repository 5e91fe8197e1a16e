"""Search and replace: exact, tolerant of white space, and never a guess."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.agents.edit import Block, EditError, apply_blocks, parse_blocks, replace_once

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
    if not text.strip() and not search.strip():
        # A search for nothing gives a text with nothing in it its content.
        assert replacement in edited.text
    elif edited.exact:
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


# Blocks

ONE = "<<<<<<< SEARCH\n    return 2\n=======\n    return 3\n>>>>>>> REPLACE\n"
DELETE = "<<<<<<< SEARCH\n        return 1\n=======\n>>>>>>> REPLACE\n"


def test_blocks_are_found_between_other_text() -> None:
    answer = f"I change it.\n```\n{DELETE}```\nand\n=======\n{ONE}done"
    assert parse_blocks(answer) == [
        Block("        return 1\n", "", lines=True),
        Block("    return 2\n", "    return 3\n", lines=True),
    ]
    assert parse_blocks("nothing here") == []
    assert parse_blocks("<<<<<<< SEARCH a/b.py\nx\n=======\ny\n>>>>>>> REPLACE") == [
        Block("x\n", "y\n", lines=True, path="a/b.py")
    ]


def test_a_deletion_followed_by_another_block() -> None:
    edited = apply_blocks(SOURCE, parse_blocks(DELETE + ONE))
    assert edited.exact
    assert edited.text == SOURCE.replace("        return 1\n", "").replace("2", "3")


def test_longer_markers_hold_a_line_of_seven() -> None:
    text = "<<<<<<<< SEARCH\nTitle\n=======\n========\nOther\n=======\n>>>>>>>> REPLACE"
    edited = apply_blocks("Title\n=======\n\ntext\n", parse_blocks(text))
    assert edited.text == "Other\n=======\n\ntext\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<<<<<<< SEARCH\na\n", "not closed"),
        ("<<<<<<< SEARCH\na\n=======\nb\n", "not closed"),
        ("<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n", "has no `=======`"),
        ("a\n=======\nb\n>>>>>>> REPLACE\n", "was not opened"),
        ("<<<<<<< SEARCH\na\n=======\nb\n=======\nc\n>>>>>>> REPLACE\n", "8 signs"),
        ("<<<<<<< SEARCH\na\n<<<<<<< SEARCH\nb\n=======\nc\n>>>>>>> REPLACE\n", "inside"),
    ],
)
def test_a_malformed_block_is_an_error(text: str, message: str) -> None:
    with pytest.raises(EditError, match=message):
        parse_blocks(text)


def test_lines_of_a_block_are_whole_lines() -> None:
    block = Block("return 2\n", "x = 2\nreturn x\n", lines=True)
    edited = apply_blocks("def f():\n    return 2\n", [block])
    assert edited.text == "def f():\n    x = 2\n    return x\n"
    with pytest.raises(EditError, match="matches nothing"):
        apply_blocks("ab\n", [Block("b\n", "c\n", lines=True)])


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            [Block("return 2", "x"), Block("return 9", "y")],
            "block 2 of 2: `search` matches nothing",
        ),
        ([Block("return 2", "x"), Block("return ", "y")], r"block 2 of 2: .* 2 times"),
        ([Block("two()", "x"), Block("def two", "y"), Block("def two():", "z")], "same text"),
        ([Block("return 2", ">>>>>>> REPLACE")], "conflict marker"),
        ([Block("", "x")], "to insert"),
        ([], "there is no block"),
    ],
)
def test_one_wrong_block_is_enough_to_apply_none(blocks: list[Block], message: str) -> None:
    with pytest.raises(EditError, match=message):
        apply_blocks(SOURCE, blocks)


def test_ambiguous_places_are_shown() -> None:
    with pytest.raises(EditError) as raised:
        replace_once(SOURCE, "return ", "yield ")
    assert "    3\t        return 1" in str(raised.value)
    assert "    7\t    return 2" in str(raised.value)


def test_a_block_that_searches_for_nothing_fills_an_empty_text() -> None:
    assert apply_blocks("", parse_blocks("<<<<<<< SEARCH\n=======\na\n>>>>>>> REPLACE")) == (
        replace_once("", "", "a\n")
    )


def test_blank_lines_can_be_put_in_and_taken_out() -> None:
    assert replace_once("a \nb\n", "a\nb\n", "a\n\nb\n\n").text == "a\n\nb\n\n"
    edited = apply_blocks("a\n\nb\n", [Block("a\n\n", "a\n", lines=True)])
    assert edited.text == "a\nb\n"


words = st.text("abc =", max_size=5)
plain = st.lists(words, min_size=1, max_size=12)


@given(plain, st.data())
def test_blocks_made_from_a_difference_give_the_new_text_and_back(
    old: list[str], data: st.DataObject
) -> None:
    """Every line is made unique by its number, then some are changed, dropped or added to."""
    numbered = [f"{index}{line}" for index, line in enumerate(old)]
    chosen = data.draw(st.sets(st.integers(0, len(old) - 1), min_size=1))
    new: list[str] = []
    there: list[Block] = []
    back: list[Block] = []
    for index, line in enumerate(numbered):
        if index not in chosen:
            new.append(line)
            continue
        put = [
            f"{index}.{n}{word}" for n, word in enumerate(data.draw(st.lists(words, max_size=3)))
        ]
        new += put
        there.append(Block(f"{line}\n", "".join(f"{each}\n" for each in put), lines=True))
        if put:
            back.append(Block("".join(f"{each}\n" for each in put), f"{line}\n", lines=True))
    text, changed = ("".join(f"{line}\n" for line in each) for each in (numbered, new))
    written = "".join(
        f"<<<<<<< SEARCH\n{block.search}=======\n{block.replace}>>>>>>> REPLACE\n"
        for block in there
    )
    assert parse_blocks(written) == there
    shuffled = data.draw(st.permutations(there))
    assert apply_blocks(text, shuffled).text == changed
    if len(back) == len(there):
        assert apply_blocks(changed, back).text == text


pieces = st.sampled_from(
    ["<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "a", "  a", "b ", "", "a\tb", "<<<<<<< HEAD"]
)


@given(st.lists(st.sampled_from(["a", "  a", "b", "", "a\tb"]), max_size=8), st.lists(pieces))
def test_whatever_is_written_no_marker_gets_into_the_text(
    old: list[str], answer: list[str]
) -> None:
    text = "\n".join(old)
    try:
        edited = apply_blocks(text, parse_blocks("\n".join(answer)))
    except EditError:
        return
    assert not any(
        line.startswith(("<<<<<<<", "=======", ">>>>>>>")) for line in edited.text.split("\n")
    )
