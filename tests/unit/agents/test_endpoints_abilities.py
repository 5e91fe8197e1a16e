"""What the pool finds out about servers and models: limits, tool calls, parameters, streams."""

import pytest
from tests.unit.agents.endpoint_setting import BASH, HELLO, hi, setting

from harness.errors import ContextTooLongError, ModelRefusedError
from harness.testing.endpoint import Reply, Request, text, tool_call
from harness.testing.troubles import (
    TOOLS_UNSUPPORTED,
    context_too_long,
    refusing,
    thinking,
    tools_unsupported,
    without_tools,
)


@pytest.mark.parametrize("server", ["openai", "vllm", "llama.cpp", "anthropic", "page"])
async def test_a_request_that_does_not_fit_is_told_with_the_limit(server: str) -> None:
    async with setting([context_too_long(4096, 5000, server=server), text("hi")]) as s:
        with pytest.raises(ContextTooLongError) as raised:
            await s.ask()
        expected = (None, None) if server == "page" else (4096, 5000)
        assert (raised.value.limit, raised.value.requested) == expected
        assert not s.ledger.settled
        assert (await s.ask()).message["content"] == "hi"


@pytest.mark.parametrize("server", TOOLS_UNSUPPORTED)
async def test_a_model_without_tool_calling_is_found_out_once(server: str) -> None:
    def act(request: Request) -> Reply:
        return tool_call("bash", command="ls\n'quoted'\n")

    async with setting(without_tools(act, server)) as s:
        assert s.pool.client(s.model()).protocol == "auto"
        answer = await s.ask([BASH])
        (call,) = answer.message["tool_calls"]
        assert call["function"]["name"] == "bash"
        assert call["function"]["arguments"] == '{"command": "ls\\n\'quoted\'\\n"}'
        assert (answer.protocol, answer.tries) == ("text", 2)
        await s.ask([BASH], temperature=0.5)
        assert ["tools" in chat.body for chat in s.endpoint.chats] == [True, False, False]
        assert s.pool.client(s.model()).protocol == "text"
        ((why, known),) = s.learned
        assert why.startswith(f"m: {TOOLS_UNSUPPORTED[server][0]}")
        later = s.new_pool(known={(s.endpoint.url, "m"): known})
        await later.client(s.model()).complete(HELLO, [BASH], s.ledger.reserve)
        assert "tools" not in s.endpoint.chats[-1].body, "a resumed run knows"
        await later.close()


async def test_a_protocol_that_is_configured_is_kept_to() -> None:
    async with setting([tools_unsupported()], protocol="tools") as s:
        with pytest.raises(ModelRefusedError, match=r"agent\.model\.protocol"):
            await s.ask([BASH])
    async with setting(without_tools(lambda _: tool_call("bash", command="ls"))) as s:
        answer = await s.ask([BASH], protocol="text")
        assert "tool_calls" in answer.message
        assert len(s.endpoint.chats) == 1


async def test_tools_that_work_are_recorded_too() -> None:
    async with setting(lambda _: tool_call("bash", command="ls")) as s:
        await s.ask()
        assert s.pool.client(s.model()).protocol == "auto", "nothing was asked about tools"
        for _ in range(3):
            await s.ask([BASH])
        assert s.pool.client(s.model()).protocol == "tools"
        assert len(s.learned) == 1


async def test_refused_parameters_are_left_out_from_then_on() -> None:
    behaviour = refusing(hi, "temperature", "reasoning_effort", "max_tokens")
    async with setting(behaviour, temperature=0.3, reasoning_effort="low", retries=0) as s:
        await s.ask()
        await s.ask()
        assert len(s.endpoint.chats) == 5
        assert set(s.endpoint.chats[-1].body) == {"model", "messages", "max_completion_tokens"}
        assert len(s.learned) == 3
    async with setting(refusing(hi, "max_tokens", "max_completion_tokens")) as s:
        with pytest.raises(ModelRefusedError, match="max_"):
            await s.ask()
    async with setting(refusing(hi, "temperature")) as s:
        with pytest.raises(ModelRefusedError, match="temperature"):
            await s.ask(extra_body={"temperature": 1})


async def test_what_a_model_thought_is_not_sent_back() -> None:
    async with setting([thinking("Hm.", text("<think>And?</think>Yes."))]) as s:
        answer = await s.ask()
        assert answer.message == {"role": "assistant", "content": "Yes."}
        assert answer.reasoning == "Hm.\n\nAnd?"


async def test_a_streamed_answer_is_assembled_and_counted() -> None:
    script = [
        thinking("Hm.", text("A long answer, in many pieces.")),
        tool_call("bash", command="ls -la; echo 'done with it'"),
    ]
    async with setting(script, stream=True) as s:
        answer = await s.ask([BASH])
        assert answer.message["content"] == "A long answer, in many pieces."
        assert answer.reasoning == "Hm."
        assert not answer.usage.estimated
        assert answer.usage.completion_tokens > 0
        (call,) = (await s.ask([BASH])).message["tool_calls"]
        assert call["function"]["arguments"] == '{"command": "ls -la; echo \'done with it\'"}'
        assert s.endpoint.chats[0].body["stream_options"] == {"include_usage": True}


async def test_a_stream_that_breaks_off_is_billed_and_asked_for_again() -> None:
    cut = Reply(body=text("A long answer, in many pieces.").body, cut_after=3)
    async with setting([cut, text("whole")], stream=True) as s:
        assert (await s.ask()).message["content"] == "whole"
        assert [usage.estimated for usage in s.ledger.settled] == [True, False]


async def test_streaming_without_counts_is_estimated() -> None:
    async with setting(refusing(hi, "stream_options"), stream=True) as s:
        answer = await s.ask()
        assert answer.usage.estimated
        assert answer.usage.prompt_tokens > 0
        assert answer.tries == 2
