"""Answers of models: read in many forms, never in two meanings."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.pipeline.answers import (
    PlannedFile,
    loose_plan,
    parse_finding,
    parse_plan,
    parse_review,
    spoken,
)
from harness.agents.pipeline.parts import AnswerError, parse_files, parse_path_blocks

PLANS = {
    "as asked": "Title: shift it\nIdea: because\nFiles:\n- solve.py: the loop\n- a/b.py",
    "bold": "**Title:** shift it\n\n**Files:**\n\n* `solve.py`: the loop\n* **a/b.py**",
    "headings": "# Title: shift it\n## Files\n1. solve.py - the loop\n2) a/b.py\n\nThat is it.",
    "title below": "### Title:\nshift it\n### Files to change:\n- solve.py (the loop)\n- a/b.py",
    "bare lines": "title: shift it\nfiles:\nsolve.py: the loop\na/b.py\nNothing else.",
}  # fmt: skip
paths = st.lists(
    st.text(string.ascii_lowercase, min_size=1, max_size=6), min_size=1, max_size=3
).map(lambda names: "/".join(names) + ".py")
bodies = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="`~\r\n", exclude_categories=["C"])),
    max_size=5,
).map(lambda lines: "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("form", PLANS)
def test_a_plan_is_read_in_many_forms(form: str) -> None:
    plan = parse_plan(PLANS[form])
    assert plan.title == "shift it"
    assert plan.files == (PlannedFile("solve.py", "the loop"), PlannedFile("a/b.py", ""))


def test_files_may_stand_in_one_line() -> None:
    plan = parse_plan("Title: t\nFiles: `solve.py`, b.py")
    assert [file.path for file in plan.files] == ["solve.py", "b.py"]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("I would shift it. Files:\n- solve.py", "Title"),
        ("Title: shift it\nIdea: e.g. by 1.5", "Files"),
        ("Title: t\nFiles:\n- the main one\n- 1.5", "Files"),
        ("", "Title"),
    ],
)
def test_a_plan_without_title_or_files_is_sent_back(text: str, missing: str) -> None:
    with pytest.raises(AnswerError, match=missing):
        parse_plan(text)


def test_a_loose_plan_is_whatever_was_said() -> None:
    plan = loose_plan("\n## I would shift `it`\nby one")
    assert plan is not None
    assert plan.title == "I would shift `it"
    assert plan.files == ()
    assert loose_plan(" \n---\n") is None


@pytest.mark.parametrize(
    "text",
    [
        "<think>no\n```x.py</think>\nyes",
        "no</think>yes",
        "<Thinking>no</thinking> yes ",
        "yes",
    ],
)
def test_thoughts_are_no_part_of_an_answer(text: str) -> None:
    assert spoken(text) == "yes"


@pytest.mark.parametrize("text", ["<think>never ends", "(no answer)", "  "])
def test_only_thoughts_are_no_answer(text: str) -> None:
    assert spoken(text) == ""


FENCES = {
    "info": "Here:\n```solve.py\nx = 1\n```\nDone.",
    "language and path": "```python solve.py\nx = 1\n```",
    "colon": "```python:./solve.py\nx = 1\n```",
    "attribute": '```python title="solve.py"\nx = 1\n```',
    "heading": "### `solve.py`\n\n```python\nx = 1\n```",
    "bold": "**File: solve.py** (new)\n```python\nx = 1\n```",
    "words": "1. Here is the new `solve.py`:\n```py\nx = 1\n```",
    "longer fence": "````solve.py\nx = 1\n````",
    "tildes": "~~~ solve.py\nx = 1\n~~~",
    "with a shell": "```solve.py\nx = 1\n```\nRun it:\n```bash\npython solve.py\n```",
}


@pytest.mark.parametrize("form", FENCES)
def test_a_file_is_read_in_many_forms(form: str) -> None:
    assert parse_files(FENCES[form]) == {"solve.py": "x = 1\n"}


def test_a_comment_may_name_the_file() -> None:
    assert parse_files("```python\n# solve.py\nx = 1\n```") == {"solve.py": "# solve.py\nx = 1\n"}


def test_one_fence_without_a_path_is_the_only_file_it_can_be() -> None:
    text = "```python\nx = 1\n```"
    assert parse_files(text, only="a.py") == {"a.py": "x = 1\n"}
    with pytest.raises(AnswerError, match="which file"):
        parse_files(text)
    with pytest.raises(AnswerError, match="2 fenced blocks"):
        parse_files(f"{text}\n{text}", only="a.py")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```solve.py\nx = 1\n", "cut off"),
        ("```solve.py\nx = 1\n```\n```solve.py\nx = 2\n```", "twice"),
        ("```solve.py\nx = 1\n# ... rest as before\n```", "left out"),
        ("```solve.py\n    # the rest of the code is unchanged\n```", "left out"),
        ("```solve.py\n// existing code ...\n```", "left out"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(text: str, why: str) -> None:
    with pytest.raises(AnswerError, match=why):
        parse_files(text)


def test_a_line_that_was_there_before_stands_for_nothing() -> None:
    text = "```solve.py\n# ... and so on\n```"
    assert parse_files(text, known="x\n# ... and so on\n") == {"solve.py": "# ... and so on\n"}


@given(st.dictionaries(paths, bodies, max_size=4))
def test_what_is_fenced_comes_back(files: dict[str, str]) -> None:
    text = "\n".join(f"Some words.\n\n````{path}\n{body}````" for path, body in files.items())
    known = "".join(files.values())
    assert parse_files(text, known=known) == files


BLOCK = "<<<<<<< SEARCH{}\na\n=======\nb\n>>>>>>> REPLACE\n"


@pytest.mark.parametrize(
    "text",
    [
        BLOCK.format(" solve.py"),
        BLOCK.format(" `./solve.py`"),
        "### solve.py\n" + BLOCK.format(""),
        "In `solve.py`:\n\n```python\n" + BLOCK.format("") + "```",
        "```solve.py\n" + BLOCK.format("") + "```",
    ],
)
def test_a_block_is_given_the_file_it_stands_under(text: str) -> None:
    (found,) = parse_path_blocks(text)
    assert (found.path, found.block.search, found.block.replace) == ("solve.py", "a\n", "b\n")


def test_later_blocks_belong_to_the_file_of_the_one_before() -> None:
    text = BLOCK.format(" a.py") + BLOCK.format("") + "b.py:\n" + BLOCK.format("") * 2
    assert [each.path for each in parse_path_blocks(text)] == ["a.py", "a.py", "b.py", "b.py"]


def test_a_path_within_a_block_is_none() -> None:
    text = "<<<<<<< SEARCH\nother.py:\n=======\nx\n>>>>>>> REPLACE\n" + BLOCK.format("")
    assert [each.path for each in parse_path_blocks(text)] == ["", ""]


def test_a_block_that_is_not_closed_is_refused() -> None:
    with pytest.raises(AnswerError, match="not closed"):
        parse_path_blocks(BLOCK.format(" a.py") + "<<<<<<< SEARCH\na\n=======\n")


@pytest.mark.parametrize(
    "text", ["Verdict: OK", "**Verdict**: ok.", "OK", "LGTM, go", "Verdict:\nOK"]
)
def test_a_review_that_is_fine(text: str) -> None:
    assert parse_review(text).ok


@pytest.mark.parametrize(
    "text",
    [
        "Verdict: FIX\nIt divides by zero.",
        "FIX: it divides by zero.",
        "Verdict: not ok, it divides by zero.",
        "Verdict: OK\n" + BLOCK.format(" solve.py"),
        BLOCK.format(" solve.py"),
    ],
)
def test_a_review_that_asks_for_a_change(text: str) -> None:
    review = parse_review(text)
    assert not review.ok
    assert "SEARCH" not in review.problems


@pytest.mark.parametrize("text", ["Verdict: FIX", "**FIX**\n", "It looks like a fix to me?", ""])
def test_a_review_that_says_nothing_is_sent_back(text: str) -> None:
    with pytest.raises(AnswerError):
        parse_review(text)


def test_findings() -> None:
    assert parse_finding("So.\n**Finding:** It helps.\nMore.") == "It helps.\nMore."
    assert parse_finding("It helps.") == "It helps."
    for text in ("", "Finding:", "word " * 1000):
        with pytest.raises(AnswerError):
            parse_finding(text)


pieces = st.lists(
    st.sampled_from(
        ["```", "````py solve.py", "<<<<<<< SEARCH", "<<<<<<< SEARCH a.py", "=======", "b.py:",
         ">>>>>>> REPLACE", "Title: t", "Files:", "- a.py: x", "Verdict: OK", "Finding: f", "x", ""]
    ),
    max_size=12,
)  # fmt: skip


@given(pieces)
def test_nothing_a_model_writes_breaks_the_readers(lines: list[str]) -> None:
    text = spoken("\n".join(lines))
    loose_plan(text)
    for read in (parse_plan, parse_files, parse_path_blocks, parse_review, parse_finding):
        with contextlib.suppress(AnswerError):
            read(text)
