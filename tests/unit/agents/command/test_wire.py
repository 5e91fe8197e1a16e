"""Requests are bounded, usage and text are read from answers, in each wire format."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.base import Usage
from harness.agents.command.translate import as_events, to_chat, to_message
from harness.agents.command.wire import Events, Format, Meter, bounded, refusal, remote_attachment


@pytest.mark.parametrize(
    ("form", "body", "name", "limit"),
    [
        ("chat", {}, "max_tokens", 100),
        ("chat", {"max_tokens": 50}, "max_tokens", 50),
        ("chat", {"max_completion_tokens": 500}, "max_completion_tokens", 100),
        ("responses", {}, "max_output_tokens", 100),
        ("messages", {"max_tokens": 64000}, "max_tokens", 100),
        ("messages", {"max_tokens": -3}, "max_tokens", 1),
        ("messages", {"max_tokens": "many"}, "max_tokens", 100),
    ],
)
def test_no_answer_may_be_longer_than_what_is_reserved(
    form: Format, body: dict[str, Any], name: str, limit: int
) -> None:
    kept, most = bounded(body, form, 100)
    assert (kept[name], most) == (limit, limit)


def test_both_names_of_the_limit_are_bounded() -> None:
    kept, _ = bounded({"max_tokens": 900, "max_completion_tokens": 800}, "chat", 100)
    assert kept == {"max_tokens": 100, "max_completion_tokens": 100}


def test_what_costs_more_or_reaches_the_network_is_left_out() -> None:
    own = {"type": "function", "function": {"name": "bash"}}
    client: dict[str, Any] = {"name": "bash", "input_schema": {}}
    body: dict[str, Any] = {
        "n": 8,
        "service_tier": "priority",
        "mcp_servers": [{"url": "http://x"}],
        "tools": [own, client, {"type": "web_search_20250305"}, {"type": "code_interpreter"}],
    }
    kept, _ = bounded(body, "messages", 100)
    assert kept == {"tools": [own, client], "max_tokens": 100}
    kept, _ = bounded({"tools": [{"type": "mcp"}], "tool_choice": "auto"}, "responses", 100)
    assert kept == {"max_output_tokens": 100}


def test_thinking_fits_the_limit_or_is_left_out() -> None:
    body = {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8000}}
    assert bounded(body, "messages", 5000)[0]["thinking"]["budget_tokens"] == 4999
    assert "thinking" not in bounded(body, "messages", 500)[0]


def test_attachments_by_address_are_found() -> None:
    def body(source: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [{"content": [{"type": "image", "source": source}]}]}

    assert remote_attachment(body({"type": "url", "url": "http://x/a.png"}))
    assert not remote_attachment(body({"type": "base64", "data": "aHR0cA=="}))
    assert not remote_attachment({"messages": [{"content": "see http://x"}]})


WHOLE: dict[Format, dict[str, Any]] = {
    "chat": {
        "choices": [
            {
                "message": {
                    "content": "hello",
                    "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}],
                }
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    },
    "responses": {
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
            {"type": "function_call", "name": "f", "arguments": '{"a": 1}'},
        ],
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    },
    "messages": {
        "content": [
            {"type": "text", "text": "hello"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ],
        "usage": {
            "input_tokens": 5,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 1,
            "output_tokens": 5,
        },
    },
}


def streamed(form: Format) -> list[dict[str, Any]]:
    if form == "responses":
        return [{"type": "response.completed", "response": WHOLE[form]}]
    if form == "messages":
        start = {"usage": {**WHOLE[form]["usage"], "output_tokens": 1}}
        block: dict[str, Any] = {"type": "tool_use", "name": "f", "input": {}}
        delta = {"type": "input_json_delta", "partial_json": '{"a": 1}'}
        return [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hel"}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "lo"}},
            {"type": "content_block_start", "content_block": block},
            {"type": "content_block_delta", "delta": delta},
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}},
        ]
    call = {"index": 0, "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    return [
        {"choices": [{"delta": {"content": "hel"}}]},
        {"choices": [{"delta": {"content": "lo", "tool_calls": [call]}}]},
        {"choices": [{"delta": {"tool_calls": [more]}}]},
        {"choices": [], "usage": WHOLE[form]["usage"]},
    ]


@pytest.mark.parametrize("form", ["chat", "responses", "messages"])
def test_usage_and_text_are_the_same_whole_and_streamed(form: Format) -> None:
    whole, events = Meter(form), Meter(form)
    whole.whole(WHOLE[form])
    for event in streamed(form):
        events.event(event)
    reasoning = 0 if form == "messages" else 2
    for meter in (whole, events):
        assert meter.usage() == Usage(10, 5, 4, reasoning)
        assert meter.text == "hello"
        assert [(call["name"], json.loads(call["arguments"])) for call in meter.calls] == [
            ("f", {"a": 1})
        ]


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_nonsense_has_no_usage_and_harms_nothing(nonsense: object) -> None:
    for form in ("chat", "responses", "messages"):
        meter = Meter(form)
        for value in (nonsense, {"usage": nonsense, "choices": nonsense, "content": nonsense}):
            meter.whole(value)
            meter.event(value)
        assert meter.usage() is None


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_events_are_whole_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    events = [b'event: a\ndata: {"n": 1}\n\n', b"data: [DONE]\n\n", b'data: {"n":\ndata: 2}\n\n']
    data = b"".join(events) + b'data: {"n": 3}'
    seen: list[object] = []

    def passes(event: object) -> bool:
        seen.append(event)
        return event != {"n": 2}

    found, at, split = list[bytes](), 0, Events(passes)
    while at < len(data):
        for cut in cuts:
            found += split.feed(data[at : at + cut])
            at += cut
    assert found == events[:2]
    assert split.rest() == b'data: {"n": 3}'
    assert seen == [{"n": 1}, None, {"n": 2}, {"n": 3}]


def test_refusals_have_the_shape_of_their_format() -> None:
    anthropic = json.loads(bytes(refusal("/v1/messages", 401, "no").body))
    assert anthropic == {
        "type": "error",
        "error": {"type": "authentication_error", "message": "no"},
    }
    openai = json.loads(bytes(refusal("/v1/responses", 400, "no").body))
    assert openai["error"]["message"] == "no"


def test_messages_become_a_chat_and_its_answer_a_message() -> None:
    chat = to_chat(
        {
            "system": [{"type": "text", "text": "be brief", "cache_control": {}}],
            "max_tokens": 9,
            "stop_sequences": ["x"],
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any"},
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "and?"},
                        {"type": "tool_result", "tool_use_id": "t1", "content": "3"},
                    ],
                },
            ],
        }
    )
    assert [message["role"] for message in chat["messages"]] == [
        "system", "user", "assistant", "tool", "user",
    ]  # fmt: skip
    assert chat["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    assert chat["messages"][3] == {"role": "tool", "tool_call_id": "t1", "content": "3"}
    assert (chat["tool_choice"], chat["stop"], chat["max_tokens"]) == ("required", ["x"], 9)
    answer = {**WHOLE["chat"]}
    answer["choices"] = [{**answer["choices"][0], "finish_reason": "tool_calls"}]
    message = to_message(answer, "m")
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]
    assert message["content"][1]["input"] == {"a": 1}
    assert message["stop_reason"] == "tool_use"
    assert message["usage"]["input_tokens"] == 6
    meter = Meter("messages")
    for event in as_events(message):
        meter.event(json.loads(event.split(b"data: ")[1]))
    assert meter.text == "hello"
    assert json.loads(meter.calls[0]["arguments"]) == {"a": 1}
    assert meter.usage() == Usage(10, 5, 4)


def test_arguments_that_are_no_json_are_passed_on_as_they_are() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{broken"}}
    message = to_message({"choices": [{"message": {"tool_calls": [call]}}]}, "m")
    assert message["content"][0]["input"] == {"not_json": "{broken"}
    with pytest.raises(ValueError, match="without a choice"):
        to_message({"choices": []}, "m")
