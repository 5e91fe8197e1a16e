"""Files of a directive: all or nothing each, and a workspace that holds just them."""

from hypothesis import given
from hypothesis import strategies as st

from harness.agents.edit import Block
from harness.agents.pipeline.files import (
    apply_path_blocks,
    changed,
    difference,
    placing,
    readable,
    refused,
)
from harness.agents.pipeline.parts import PathBlock

FILES = {"a.py": "one\ntwo\nthree\n", "sub/b.py": "four\n"}


def block(path: str, search: str, replace: str) -> PathBlock:
    return PathBlock(path, Block(search, replace, lines=True))


def test_a_file_of_which_one_block_does_not_apply_stays_as_it_is() -> None:
    blocks = [
        block("a.py", "one\n", "1\n"),
        block("a.py", "nine\n", "9\n"),
        block("sub/b.py", "four\n", "4\n"),
    ]
    applied = apply_path_blocks(FILES, blocks, ["**"])
    assert applied.files == {"sub/b.py": "4\n"}
    (problem,) = applied.problems
    assert problem.startswith("a.py: ")
    assert "two" in problem, "the nearest text is shown"


def test_a_new_file_is_made_and_a_wrong_path_is_said() -> None:
    applied = apply_path_blocks(FILES, [block("c.py", "", "new\n")], ["*.py"])
    assert applied.files == {"c.py": "new\n"}
    applied = apply_path_blocks(FILES, [block("c.py", "one\n", "new\n")], ["*.py"])
    assert not applied.files
    assert "there is no file c.py; there are: a.py, sub/b.py" in applied.problems[0]


def test_an_absolute_path_is_the_file_that_it_ends_in() -> None:
    applied = apply_path_blocks(FILES, [block("/work/sub/b.py", "four\n", "4\n")], ["**"])
    assert applied.files == {"sub/b.py": "4\n"}


def test_a_block_without_a_path_needs_an_only_file() -> None:
    assert apply_path_blocks({"a.py": "x\n"}, [block("", "x\n", "y\n")], ["**"]).files
    assert "which file" in apply_path_blocks(FILES, [block("", "one\n", "y\n")], ["**"]).problems[0]


def test_what_would_not_be_submitted_is_refused() -> None:
    assert refused("deep/er/solve.py", ["*.py"]) == ""
    for path in ("solve.txt", "../solve.py", "/solve.py", ".git/x.py", "__pycache__/x.py", ""):
        assert refused(path, ["*.py"])


def test_files_that_are_no_text_are_told_apart() -> None:
    assert readable({"a": b"x", "b": b"\xff\x00"}) == ({"a": "x"}, ["b"])


def test_the_difference_shows_new_and_changed_files() -> None:
    text = difference(FILES, {"a.py": "one\n2\nthree\n", "new.py": "x\n", "sub/b.py": "four\n"})
    assert "-two\n+2" in text
    assert "--- /dev/null\n+++ b/new.py" in text
    assert "sub/b.py" not in text


contents = st.dictionaries(st.sampled_from("abcdef"), st.text("xy", max_size=2))


@given(contents, contents, contents)
def test_whatever_was_placed_before_the_workspace_ends_right(
    base: dict[str, str], earlier: dict[str, str], files: dict[str, str]
) -> None:
    workspace = base | earlier
    write, remove = placing(base, files, list(earlier))
    workspace |= write
    for path in remove:
        del workspace[path]
    assert workspace == base | files


@given(contents, contents)
def test_changed_files_are_all_that_differs(base: dict[str, str], files: dict[str, str]) -> None:
    assert base | changed(base, files) == base | files
    assert all(base.get(path) != content for path, content in changed(base, files).items())
