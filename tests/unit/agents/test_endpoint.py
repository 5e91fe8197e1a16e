"""The scripted endpoint itself, through the real client."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from harness.testing.endpoint import (
    Reply,
    Request,
    ScriptedEndpoint,
    dropped,
    embedding,
    empty_choices,
    malformed_json,
    rate_limited,
    server_error,
    slow,
    text,
    tool_call,
    tool_calls,
)


def client(endpoint: ScriptedEndpoint, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(base_url=endpoint.url, api_key=key, max_retries=0, timeout=5)


def ask(endpoint: ScriptedEndpoint, key: str = "any", model: str = "m") -> ChatCompletion:
    return client(endpoint, key).chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hello"}]
    )


def test_plays_a_script_and_records_what_was_asked() -> None:
    script = [text("hi"), tool_calls(("bash", {"command": "ls"}), ("bash", "{not json"))]
    with ScriptedEndpoint(script) as endpoint:
        first = ask(endpoint)
        assert first.choices[0].message.content == "hi"
        assert first.usage is not None
        assert first.usage.prompt_tokens > 0
        calls = ask(endpoint).choices[0].message.tool_calls
        assert calls is not None
        assert [call.function.arguments for call in calls if call.type == "function"] == [
            '{"command": "ls"}',
            "{not json",
        ]
        assert len({call.id for call in calls}) == 2
        with pytest.raises(openai.BadRequestError, match="the script has ended after 2"):
            ask(endpoint)
        assert [request.number for request in endpoint.chats] == [1, 2, 3]
        assert endpoint.chats[0].messages == [{"role": "user", "content": "hello"}]


def test_failures_look_like_the_real_ones() -> None:
    script = [rate_limited(2.5), server_error(503), dropped(), malformed_json(), empty_choices()]
    with ScriptedEndpoint(script) as endpoint:
        with pytest.raises(openai.RateLimitError) as limited:
            ask(endpoint)
        assert limited.value.response.headers["retry-after"] == "2.5"
        with pytest.raises(openai.InternalServerError):
            ask(endpoint)
        with pytest.raises(openai.APIConnectionError):
            ask(endpoint)
        with pytest.raises(ValueError, match="Unterminated string"):
            ask(endpoint)
        assert ask(endpoint).choices == []


def test_a_slow_answer_makes_the_client_give_up() -> None:
    with ScriptedEndpoint([slow(30, text("late"))]) as endpoint:
        hasty = client(endpoint).with_options(timeout=0.1)
        with pytest.raises(openai.APITimeoutError):
            hasty.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hello"}]
            )


def test_key_and_model_are_checked_when_given() -> None:
    def answer(request: Request) -> Reply:
        return tool_call("bash", command=f"echo {len(request.messages)}")

    with ScriptedEndpoint(answer, key="right", model="known") as endpoint:
        with pytest.raises(openai.AuthenticationError):
            ask(endpoint, "wrong")
        with pytest.raises(openai.NotFoundError):
            ask(endpoint, "right", "unknown")
        assert ask(endpoint, "right", "known").choices[0].message.tool_calls
        assert [model.id for model in client(endpoint, "right").models.list()] == ["known"]


def test_embeddings_depend_on_the_words_only() -> None:
    with ScriptedEndpoint([]) as endpoint:
        answer = client(endpoint).embeddings.create(model="e", input=["a b", "b a"], dimensions=16)
    first, second = (item.embedding for item in answer.data)
    assert first == pytest.approx(second)
    assert first == pytest.approx(embedding("a b", 16))
    assert sum(value * value for value in first) == pytest.approx(1)


def test_runs_as_a_command() -> None:
    command = [sys.executable, "-m", "harness.testing.endpoint", "--behaviour", "idle"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/models") as answer:
                assert b"scripted" in answer.read()
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{url}/nothing")
        finally:
            process.terminate()


def test_streams_what_it_would_have_said() -> None:
    script = [text("a long answer in pieces"), tool_calls(("bash", {"command": "ls"}))]
    with ScriptedEndpoint(script) as endpoint:
        create: Any = client(endpoint).chat.completions.create
        asked: dict[str, Any] = {"model": "m", "messages": [], "stream": True}
        chunks: list[ChatCompletionChunk] = list(create(**asked))
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert said == "a long answer in pieces"
        assert all(chunk.usage is None for chunk in chunks)
        chunks = list(create(**asked, stream_options={"include_usage": True}))
        assert chunks[-1].usage is not None
        calls = [call for c in chunks[:-1] for call in c.choices[0].delta.tool_calls or ()]
        functions = [call.function for call in calls if call.function is not None]
        assert "".join(each.arguments or "" for each in functions) == '{"command": "ls"}'
        assert calls[0].id


def test_can_be_killed_and_comes_back_on_the_same_port() -> None:
    def answer(request: Request) -> Reply:
        return slow(20, text("late")) if request.number == 2 else text(f"{request.number}")

    with ScriptedEndpoint(answer) as endpoint:
        url = endpoint.url
        assert ask(endpoint).choices[0].message.content == "1"
        with ThreadPoolExecutor(1) as pool:
            broken = pool.submit(ask, endpoint)
            while len(endpoint.chats) < 2:
                time.sleep(0.001)
            endpoint.kill()
            with pytest.raises(openai.APIConnectionError):
                broken.result()
        with pytest.raises(openai.APIConnectionError):
            ask(endpoint)
        endpoint.restart()
        assert endpoint.url == url
        assert ask(endpoint).choices[0].message.content == "3"
