"""The conversation: operations that may be batched anyhow, and compaction that keeps it valid."""

import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agents.conversation import (
    INVALID_ARGUMENTS,
    KEPT_GROUPS,
    TRIMMED_CHARACTERS,
    Message,
    Operation,
    decided,
    fold,
    noted,
    reduce,
    sendable,
    size,
    tool,
    unanswered,
    user,
)


def call(identifier: str, name: str = "bash", arguments: str = "{}") -> Message:
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def turn(number: int, outputs: list[str]) -> list[Message]:
    identifiers = [f"call-{number}-{index}" for index in range(len(outputs))]
    if not outputs:
        return [{"role": "assistant", "content": "words"}, user("go on", "reminder")]
    return [
        {"role": "assistant", "content": None, "tool_calls": [call(i) for i in identifiers]},
        *(tool(i, text) for i, text in zip(identifiers, outputs, strict=True)),
    ]


messages = st.lists(
    st.one_of(
        st.builds(user, st.text(max_size=5), st.just("reminder")),
        st.builds(tool, st.text("c", min_size=1, max_size=2), st.text(max_size=40)),
    ),
    max_size=4,
)
anything = st.one_of(
    st.fixed_dictionaries({"op": st.just("append"), "messages": messages}),
    st.fixed_dictionaries(
        {
            "op": st.just("splice"),
            "start": st.integers(-2, 8),
            "stop": st.integers(-2, 8),
            "messages": messages,
        }
    ),
    st.fixed_dictionaries(
        {"op": st.just("trim"), "stop": st.integers(-2, 8), "limit": st.integers(0, 30)}
    ),
)
operations = cast("st.SearchStrategy[Operation]", anything)
writes = st.lists(st.lists(operations, max_size=3), max_size=4)


@given(messages, writes, writes)
def test_the_reducer_does_not_care_how_writes_are_batched(
    start: list[Message], first: list[list[Operation]], second: list[list[Operation]]
) -> None:
    before = json.dumps(start)
    assert reduce(reduce(start, first), second) == reduce(start, [*first, *second])
    assert json.dumps(start) == before, "the argument was changed"


conversations = st.lists(
    st.lists(
        st.lists(st.text("ab", max_size=600), max_size=3), max_size=6
    ),  # directives of turns of outputs
    min_size=1,
    max_size=4,
)


def conversation(directives: list[list[list[str]]]) -> list[Message]:
    made: list[Message] = []
    number = 0
    for index, turns in enumerate(directives):
        made.append(user(f"# Directive {index}", "directive"))
        for outputs in turns:
            made += turn(number, outputs)
            number += 1
    return made


def compact(messages: list[Message], budget: int, summary: Message) -> list[Operation]:
    return fold(messages, budget, summary=size([summary])).operations(summary)


@settings(deadline=None)
@given(conversations, st.integers(200, 3000))
def test_compaction_bounds_the_size_and_keeps_the_conversation_valid(
    directives: list[list[list[str]]], budget: int
) -> None:
    old = conversation(directives)
    summary = user("what remains", "summary")
    new = reduce(old, [compact(old, budget, summary)])
    if size(old) <= budget:
        assert new == old
        return
    assert size(new) <= size(old) + size([summary])
    # No result without its call, none parted from the answer that asked for it.
    open_calls: list[str] = []
    for message in new:
        if message["role"] == "assistant":
            open_calls = [made["id"] for made in message.get("tool_calls", [])]
        elif message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
        else:
            assert not open_calls
    # The current directive and the calls of its latest turns are whole, and so are the results
    # unless they alone are too much.
    last = [m for m in new if m.get("harness") == "directive"]
    assert last == [user(f"# Directive {len(directives) - 1}", "directive")]
    kept = [m for outputs in directives[-1][-KEPT_GROUPS:] for m in turn(0, outputs)]
    contents = [str(m["content"]) for m in kept]
    left = [str(m["content"]) for m in new][len(new) - len(contents) :]
    if size(new) <= size([*last, summary, *kept]) <= 2 * budget:
        assert left == contents
    assert [text[:TRIMMED_CHARACTERS] for text in left] == [
        text[:TRIMMED_CHARACTERS] for text in contents
    ]
    removed = fold(old, budget, summary=size([summary])).removed
    assert (new[0] == summary) == bool(removed)
    # Everything is there or was handed to the summary, in order; only outputs are cut.
    survived = [m for m in new if m != summary]
    assert len(removed) + len(survived) == len(old)
    rest = iter(old)
    assert all(message in rest for message in removed)
    # What is left over the budget cannot be removed.
    if size(new) > budget:
        answers = sum(m["role"] == "assistant" for m in new)
        assert answers <= KEPT_GROUPS


def test_results_of_the_latest_turns_are_cut_only_when_nothing_else_helps() -> None:
    many = turn(0, ["a" * 9000] * 3)
    old = [user("# Directive 1", "directive"), *many]
    new = reduce(old, [compact(old, 3000, user("s", "summary"))])
    assert [len(m["content"]) > 900 for m in new if m["role"] == "tool"] == [True] * 3
    assert size(new) < 6000
    assert reduce(old, [compact(old, 20_000, user("s", "summary"))]) == old


def test_compacting_twice_keeps_the_titles_of_notes() -> None:
    written = call("c", "memory_note", json.dumps({"title": "a finding", "text": "x"}))
    wrong = call("d", "memory_note", json.dumps({INVALID_ARGUMENTS: "{"}))
    old: list[Message] = [
        user("# Directive 1", "directive"),
        {"role": "assistant", "content": None, "tool_calls": [written, wrong]},
        tool("c", "ok"),
        tool("d", "error"),
        user("# Directive 2", "directive"),
    ]
    assert noted(old) == ["a finding: x", "untitled"]
    summary: Message = {**user("s", "summary"), "notes": noted(old)}
    once = reduce(old, [compact(old, 1, summary)])
    assert noted(once) == noted(old)
    assert noted(reduce(once, [compact(once, 1, summary)])) == noted(old)


def test_unanswered_calls_are_those_of_the_last_answer_without_a_result() -> None:
    made: list[Any] = [
        user("u", "directive"),
        {"role": "assistant", "content": None, "tool_calls": [call("1"), call("2"), call("3")]},
    ]
    assert [c["id"] for c in unanswered(made)] == ["1", "2", "3"]
    assert [c["id"] for c in unanswered([*made, tool("1", "r")])] == ["2", "3"]
    done = [*made, tool("1", "r"), tool("2", "r"), tool("3", "r")]
    assert unanswered(done) == []
    assert unanswered([*done, user("u", "reminder")]) == []
    assert unanswered([]) == []


def test_what_is_sent_has_no_marks_and_alternates() -> None:
    sent = sendable(
        [
            user("one", "directive"),
            {**user("two", "heartbeat"), "notes": ["n"]},
            {"role": "assistant", "content": "x"},
        ]
    )
    assert sent == [
        {"role": "user", "content": "one\n\ntwo"},
        {"role": "assistant", "content": "x"},
    ]


def test_everything_but_the_directive_and_what_is_not_read_yet_can_go() -> None:
    old = [
        user("# Directive 1", "directive"),
        *turn(0, ["a"]),
        user("# Directive 2", "directive"),
        *turn(1, ["b"]),
        *turn(2, ["c"]),
        user("start anew", "heartbeat"),
    ]
    summary = user("s", "summary")
    planned = fold(old, 10**6, everything=True)
    assert reduce(old, [planned.operations(summary)]) == [summary, old[3], old[-1]]
    assert planned.removed == [*old[:3], *old[4:-1]]


def test_reasons_for_submissions_are_kept() -> None:
    submit = call("s", "submit", json.dumps({"title": "larger steps"}))
    old: list[Message] = [
        user("# Directive 1", "directive"),
        {"role": "assistant", "content": "The steps are too small.", "tool_calls": [call("b")]},
        tool("b", "ok"),
        {"role": "assistant", "content": None, "tool_calls": [submit]},
        tool("s", "Attempt 1: scored."),
        {"role": "assistant", "content": None, "tool_calls": [submit]},
        tool("s", "Attempt 2: scored."),
        user("# Directive 2", "directive"),
    ]
    assert decided(old) == ["larger steps: The steps are too small.", "larger steps"]
    summary: Message = {**user("s", "summary"), "decisions": decided(old)}
    assert decided(reduce(old, [fold(old, 1).operations(summary)])) == decided(old)
