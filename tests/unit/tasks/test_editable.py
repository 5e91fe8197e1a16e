"""What of a seed may be changed: patterns, blocks, and what a refusal says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SubmissionRefusedError
from harness.tasks.editable import Editable

MARKED = b"import os\n# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\nprint(x)\n"
SEED = {"solve.py": MARKED, "lib/base.py": b"y = 2\n", "notes.md": b"text\n"}


def rules(
    *, editable: tuple[str, ...] = ("**",), protected: tuple[str, ...] = (), blocks: bool = False
) -> Editable:
    return Editable(SEED, editable, protected, blocks)


@pytest.mark.parametrize(
    ("given_rules", "changes", "words"),
    [
        (rules(editable=("solve.py",)), {"notes.md": b"other"}, "'notes.md'.*was changed"),
        (rules(editable=("solve.py",)), {"notes.md": None}, "'notes.md'.*was deleted.*put back"),
        (rules(editable=("solve.py",)), {"new.py": b"z"}, "'new.py'.*was added.*delete it"),
        (rules(protected=("lib/",)), {"lib/base.py": b"y = 3\n"}, "but not lib/ may be changed"),
        (rules(protected=("lib/",)), {"lib/new.py": b"y = 3\n"}, "was added"),
        (rules(blocks=True), {"solve.py": MARKED.replace(b"os", b"re")}, "line 1 is changed"),
        (rules(blocks=True), {"solve.py": MARKED + b"x = 2\n"}, "line 6 is changed"),
        (rules(blocks=True), {"solve.py": MARKED[:-9]}, "line 5 is changed"),
        (rules(blocks=True), {"solve.py": MARKED.replace(b"-END", b"")}, "EVOLVE-BLOCK-END"),
        (rules(blocks=True), {"solve.py": b"x = 5\n"}, "line 1 is changed"),
        (rules(blocks=True), {"solve.py": None}, "was deleted"),
        (
            rules(blocks=True),
            {"solve.py": MARKED.replace(b"x = 1", b"# EVOLVE-BLOCK-END\n# EVOLVE-BLOCK-START")},
            "is changed",
        ),
    ],
)
def test_other_changes_are_refused(
    given_rules: Editable, changes: dict[str, bytes | None], words: str
) -> None:
    files = {path: data for path, data in {**SEED, **changes}.items() if data is not None}
    with pytest.raises(SubmissionRefusedError, match=words):
        given_rules.check(files)


def test_allowed_changes_pass() -> None:
    rules().check({"anything": b""})
    rules(editable=("solve.py", "more/")).check({**SEED, "solve.py": b"", "more/x.py": b"1"})
    rules(blocks=True).check({**SEED, "solve.py": MARKED.replace(b"x = 1", b"x = 7\ny = 8")})
    rules(blocks=True).check({**SEED, "notes.md": b"free: it has no markers"})
    rules(blocks=True).check({**SEED, "solve.py": MARKED.rstrip(b"\n")})


def test_parts_that_may_be_changed() -> None:
    assert rules().spans("solve.py", MARKED) is None
    assert rules(editable=("notes.md",)).spans("solve.py", MARKED) == []
    ((start, end),) = rules(blocks=True).spans("solve.py", MARKED) or []
    assert MARKED[start:end] == b"x = 1\n"


LINES = st.lists(st.sampled_from([b"a", b"b = 1", b"", b"  c"]), max_size=6)


@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=3), LINES, st.data())
def test_only_what_stands_in_blocks_may_differ(
    parts: list[tuple[list[bytes], list[bytes]]], tail: list[bytes], data: st.DataObject
) -> None:
    def text(inner: list[list[bytes]]) -> bytes:
        lines: list[bytes] = []
        for (outside, _), block in zip(parts, inner, strict=True):
            lines += [*outside, b"// EVOLVE-BLOCK-START", *block, b"// EVOLVE-BLOCK-END"]
        return b"\n".join([*lines, *tail, b"end"]) + b"\n"

    seed = text([block for _, block in parts])
    given_rules = Editable({"p.cc": seed}, ("**",), (), True)
    child = text([data.draw(LINES) for _ in parts])
    given_rules.check({"p.cc": child})
    spans = given_rules.spans("p.cc", child)
    assert spans is not None
    position = data.draw(st.integers(0, len(child)))
    changed = child[:position] + b"Q" + child[position:]
    if any(start <= position < end for start, end in spans):
        given_rules.check({"p.cc": changed})
    elif not any(position in span for span in spans):
        with pytest.raises(SubmissionRefusedError):
            given_rules.check({"p.cc": changed})


def test_the_offline_agent_sees_numbers_of_the_blocks_only() -> None:
    from harness.agents.mutation import parse
    from harness.agents.restricted import restricted

    text = b"A = 5\n# EVOLVE-BLOCK-START\nX = [1, 2, 3]\ny = 4\n# EVOLVE-BLOCK-END\nB = [6, 7]\n"
    model = parse("p.py", text)
    assert model is not None
    small = restricted(model, Editable({"p.py": text}, ("**",), (), True).spans("p.py", text))
    assert [number.value for number in small.numbers] == [1, 2, 3, 4]
    assert [table.cells for table in small.tables] == [(0, 1, 2)]
    assert set(small.functions) == {"X", "y"}
    assert restricted(model, None) is model


def test_blocks_without_markers_is_the_authors_mistake(tmp_path: Path) -> None:
    from harness.errors import TaskError
    from harness.evaluators.submission import submission_rules
    from harness.tasks.loader import load_task
    from harness.tasks.scaffold import new_task

    folder = new_task("marked", tmp_path)
    file = folder / "task.yaml"
    file.write_text(file.read_text().replace("submission:", "submission:\n  blocks: true", 1))
    with pytest.raises(TaskError, match="has no EVOLVE-BLOCK-START"):
        submission_rules(load_task(folder))
