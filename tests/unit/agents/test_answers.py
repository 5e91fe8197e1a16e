"""What endpoints answer, made into what is kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.answers import (
    NO_ANSWER,
    Assembly,
    NotAnAnswerError,
    decode,
    encode,
    error_of,
    estimate_tokens,
    parse,
    usage_of,
    without_thoughts,
)
from harness.testing.stream import events


def completion(message: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"choices": []}, {"choices": None}, completion(None), completion("hi"), 3],
)
def test_what_has_no_message_is_no_answer(data: object) -> None:
    with pytest.raises(NotAnAnswerError):
        parse(data)


def test_thoughts_are_kept_apart() -> None:
    given_apart = parse(completion({"content": "Yes.", "reasoning_content": "Hm."}))
    assert given_apart.message == {"role": "assistant", "content": "Yes."}
    assert given_apart.reasoning == "Hm."
    assert parse(completion({"content": "<think>Hm.</think>\n\nYes."})).message["content"] == "Yes."
    assert without_thoughts("<think>\nHm.\n</think>Yes.") == ("Yes.", "Hm.")
    assert without_thoughts("Hm.\n</think>\n\nYes.") == ("Yes.", "Hm.")
    assert without_thoughts("<think>never finished") == ("", "never finished")
    assert without_thoughts("Use <think> tags, then </think>.")[1] == ""
    cut_off = parse(completion({"content": "<think>never finished"}))
    assert cut_off.message["content"] == NO_ANSWER


def test_content_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert parse(completion({"content": parts})).message["content"] == "ab"


def test_a_call_that_the_server_left_in_the_text() -> None:
    content = 'Look.\n<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
    message = parse(completion({"content": content}), ["bash"]).message
    assert message["content"] == "Look."
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": "bash", "arguments": '{"command": "ls"}'}
    assert "tool_calls" not in parse(completion({"content": content}), ["other"]).message
    assert "tool_calls" not in parse(completion({"content": content})).message


def test_errors_inside_of_200() -> None:
    assert error_of({"error": {"code": 400, "message": "m"}}) is not None
    assert error_of({"error": {"code": "503"}}) is not None
    assert error_of({"error": {"code": "odd"}}) is None
    assert error_of({"error": None, "choices": []}) is None
    assert error_of([]) is None


def test_usage_as_said_or_estimated() -> None:
    said = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": None,
    }
    usage = usage_of({"usage": said}, [], 100)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (9, 4, 3)
    assert not usage.estimated
    guessed = usage_of({}, [{"content": "x" * 300}], 300)
    assert guessed.estimated
    assert guessed.prompt_tokens > 100
    assert guessed.completion_tokens == 100
    assert estimate_tokens([{"content": "x" * 300}]) > 100


texts = st.text(max_size=60)


@given(
    st.fixed_dictionaries(
        {"content": texts, "reasoning_content": texts},
        optional={
            "tool_calls": st.lists(
                st.tuples(st.text(min_size=1, max_size=8), st.dictionaries(texts, texts)).map(
                    lambda call: {
                        "id": call[0],
                        "type": "function",
                        "function": {"name": call[0], "arguments": json.dumps(call[1])},
                    }
                ),
                max_size=3,
            )
        },
    ),
    st.booleans(),
)
def test_a_streamed_answer_is_the_same_answer(message: dict[str, Any], counted: bool) -> None:
    body = {**completion(message), "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
    assembly = Assembly()
    stream = b"".join(events(body, include_usage=counted)).decode()
    for line in stream.split("\n"):
        assembly.line(line)
    assert parse(assembly.data()) == parse(body)
    assert usage_of(assembly.data(), [], assembly.received).estimated is not counted


@given(st.integers(0, 12))
def test_a_stream_that_breaks_off_is_no_answer(kept: int) -> None:
    body = completion({"content": "a long answer " * 20})
    assembly = Assembly()
    for event in list(events(body, include_usage=True))[:kept]:
        assembly.line(event.decode().strip())
    with pytest.raises(NotAnAnswerError):
        parse(assembly.data())


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=9))
def test_what_is_encoded_is_what_is_read(value: Any) -> None:
    assert decode(encode({"messages": value, "half": "\ud83d"})) == {
        "messages": value,
        "half": "\ud83d",
    }
    assert decode(encode({"messages": value})) == {"messages": value}
