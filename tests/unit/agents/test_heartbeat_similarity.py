"""How alike changes are: what is common to them counts, not the base they share."""

from hypothesis import given
from hypothesis import strategies as st

from harness.agents.heartbeats.base import AttemptView
from harness.agents.heartbeats.similarity import SKETCH, Files, Similarity, resemblance, sketch

LINES = "\n".join(f"value_{number} = compute({number}, scale)" for number in range(200))
BASE = {"main.py": LINES.encode()}


def edited(*edits: tuple[str, str]) -> dict[str, bytes]:
    text = LINES
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return {"main.py": text.encode()}


def alike(left: Files, right: Files, base: Files = BASE) -> float:
    return resemblance(sketch(base, left), sketch(base, right))


def test_the_same_change_is_a_copy_however_it_is_spaced() -> None:
    edit = ("value_7 = compute(7, scale)", "value_7 = other(7) + offset")
    spaced = ("value_7 = compute(7, scale)", "  value_7  =  other(7)  + offset\n")
    assert alike(edited(edit), edited(spaced)) == 1.0


def test_different_changes_of_one_base_are_not_alike_though_most_of_the_text_is() -> None:
    one = edited(("value_7 = compute(7, scale)", "value_7 = solve(grid, start)"))
    two = edited(("value_90 = compute(90, scale)", "value_90 = cache[key].pop()"))
    assert alike(one, two) < 0.1


def test_a_sweep_over_a_parameter_is_no_copying() -> None:
    one = edited(("value_7 = compute(7, scale)", "value_7 = compute(8, scale)"))
    two = edited(("value_7 = compute(7, scale)", "value_7 = compute(9, scale)"))
    assert 0.0 < alike(one, two) < 0.6


def test_the_same_rewrite_on_different_bases_is_a_near_copy() -> None:
    new = {
        "main.py": "\n".join(f"def step_{n}(x): return x * {n} + bias" for n in range(80)).encode()
    }
    other = {"main.py": new["main.py"] + b"\nprint(step_1(2))"}
    left, right = sketch(BASE, new), sketch({"main.py": LINES[:3000].encode()}, other)
    added_only = resemblance(left, right)
    assert added_only > 0.5
    assert resemblance(sketch({}, new), sketch({}, other)) > 0.8


FILES = st.dictionaries(
    st.sampled_from(["a.py", "b.txt"]),
    st.binary(max_size=400) | st.text(max_size=400).map(str.encode),
)


@given(FILES, FILES, FILES)
def test_alikeness_is_a_symmetric_share(base: Files, left: Files, right: Files) -> None:
    one, two = sketch(base, left), sketch(base, right)
    assert resemblance(one, one) == 1.0
    assert resemblance(one, two) == resemblance(two, one)
    assert 0.0 <= resemblance(one, two) <= 1.0


def test_work_and_memory_are_bounded_and_a_sample_is_near_the_truth() -> None:
    words = [f"word{number} = {number}" for number in range(3000)]
    left = sketch({}, {"x": "\n".join(words[:2000]).encode()})
    right = sketch({}, {"x": "\n".join(words[1000:]).encode()})
    assert len(left) == len(right) == SKETCH
    # 1,000 of 3,000 lines are common, less what lies beyond the bytes that are looked at.
    assert 0.15 < resemblance(left, right) < 0.5
    assert sketch({}, {"x": b"a" * 10_000_000}) == sketch({}, {"x": b"a" * 20_000_000})


def test_each_attempt_is_read_once() -> None:
    read: list[str] = []

    def changes(attempt: AttemptView) -> tuple[Files, Files]:
        read.append(attempt.id)
        return BASE, edited((f"value_{attempt.id} =", "changed ="))

    def view(number: int, tree: str) -> AttemptView:
        return AttemptView(str(number), "agent-1", "improve", "scored", 1.0, "", "0", tree, 0.0)

    similarity = Similarity(changes)
    views = [view(number, str(number)) for number in range(10, 16)]
    for _ in range(3):
        for left in views:
            for right in views:
                similarity(left, right)
    assert sorted(read) == [str(number) for number in range(10, 16)]
    assert similarity(view(1, "same"), view(2, "same")) == 1.0
    assert len(read) == 6, "equal trees need no reading"
