"""The model gateway: over HTTP, with the budget of a context and real endpoints behind it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.unit.agents.command.test_wire import WHOLE, streamed
from tests.unit.agents.command.upstream import Upstream

from harness.agents.base import AgentConfig, ModelConfig, Usage
from harness.agents.command.desk import Sitting, ToolDesk
from harness.agents.command.gateway import MAX_REQUEST_BYTES, Gateway
from harness.agents.command.service import serving
from harness.agents.gate import FAILURES_IN_A_ROW
from harness.errors import BudgetExhaustedError
from harness.sandbox.base import SandboxProvider
from harness.testing.context import open_context
from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, rate_limited, refusal, text
from harness.testing.local_context import LocalContext

KEY = "sk-very-secret-1234567890"
VARIABLE = "HARNESS_TEST_MODEL_KEY"
HELLO = [{"role": "user", "content": "hi"}]


class Client:
    """What the CLI in the sandbox sees: an address and a token."""

    def __init__(self, http: httpx2.AsyncClient, context: LocalContext, sitting: Sitting) -> None:
        self.http = http
        self.context = context
        self.sitting = sitting

    async def post(self, path: str, body: dict[str, Any] | bytes, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(path, content=data, headers=headers)

    async def chat(self, **fields: Any) -> Any:
        return await self.post("/v1/chat/completions", {"messages": HELLO, **fields})


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, KEY)
    return KEY


@asynccontextmanager
async def gateway(
    folder: Path, provider: SandboxProvider, url: str, *, tokens: int | None = None, **model: Any
) -> AsyncGenerator[Client]:
    settings = ModelConfig(
        name="m", base_url=url, key_variable=VARIABLE, max_output_tokens=100, **model
    )
    config = AgentConfig(kind="command", command=["x", "y"], model=settings)
    async with open_context(folder, provider, config=config, tokens=tokens) as context:
        desk = ToolDesk(context)
        made = Gateway(context, desk.exhausted)
        sitting = desk.begin(1, "n")
        async with serving(desk, made) as service:
            transport = httpx2.AsyncHTTPTransport(uds=str(service.sockets["http"]))
            async with httpx2.AsyncClient(
                transport=transport,
                base_url="http://harness",
                headers={"Authorization": f"Bearer {service.token}"},
            ) as http:
                yield Client(http, context, sitting)
        await desk.close()
        await made.close()


async def test_the_key_stays_outside_and_the_model_is_the_runs(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    with ScriptedEndpoint(lambda _: text("hello"), key=key, model="m") as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            answer = await client.chat(model="something-dear", max_tokens=5000, n=3)
            assert answer.status_code == 200
            assert answer.json()["choices"][0]["message"]["content"] == "hello"
            turn = client.context.transcript[-1]
        [request] = endpoint.requests
    assert request.body == {"model": "m", "max_tokens": 100, "messages": HELLO}
    assert (turn["type"], turn["model"], turn["message"]["content"]) == ("assistant", "m", "hello")
    assert key not in json.dumps(client.context.transcript)


async def test_a_wrong_token_is_refused(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    with ScriptedEndpoint(lambda _: text("hello"), key=key) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            for path in ("/v1/chat/completions", "/v1/messages", "/harness/call", "/mcp"):
                for given in ("Bearer wrong", "", "Bearer"):
                    answer = await client.post(path, {"messages": HELLO}, Authorization=given)
                    assert answer.status_code == 401
                    assert "wrong token" in answer.text
        assert endpoint.requests == []


async def test_an_anthropic_client_gets_chat_completions_as_messages(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    with ScriptedEndpoint(lambda _: text("hello"), key=key) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            body = {"model": "claude", "max_tokens": 50, "messages": HELLO, "system": "brief"}
            answer = (await client.post("/v1/messages", body)).json()
            assert answer["content"] == [{"type": "text", "text": "hello"}]
            assert answer["stop_reason"] == "end_turn"
            stream = await client.post("/v1/messages", {**body, "stream": True})
            assert stream.headers["content-type"].startswith("text/event-stream")
            kinds = [line[7:] for line in stream.text.splitlines() if line.startswith("event: ")]
            counted = (await client.post("/v1/messages/count_tokens", body)).json()
        assert [request.body["max_tokens"] for request in endpoint.requests] == [50, 50]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert counted["input_tokens"] > 0
    assert len(client.context.usage) == 2


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["messages", "responses"])
async def test_other_formats_are_passed_through_with_their_usage(
    tmp_path: Path, provider: SandboxProvider, key: str, form: Any, stream: bool
) -> None:
    answers: object = streamed(form) if stream else WHOLE[form]
    api = "anthropic" if form == "messages" else "openai"
    with Upstream(answers) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url, api=api) as client:
            headers = {"anthropic-beta": "some-beta", "cookie": "a=b"}
            answer = await client.post(f"/v1/{form}", {"stream": stream, "x": 1}, **headers)
            assert answer.status_code == 200
            turn = client.context.transcript[-1]
        [(path, sent, body)] = endpoint.requests
    assert path == f"/v1/{form}"
    assert (body["x"], body["model"]) == (1, "m")
    if form == "messages":
        assert (sent["x-api-key"], sent["anthropic-beta"]) == (key, "some-beta")
        assert "authorization" not in sent
    else:
        assert sent["authorization"] == f"Bearer {key}"
    assert "cookie" not in sent
    [usage] = client.context.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (10, 5, 4)
    assert not usage.estimated
    assert turn["message"]["content"] == "hello"
    assert turn["message"]["tool_calls"][0]["function"]["name"] == "f"


async def test_a_stream_is_passed_on_without_the_count_that_was_not_asked_for(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    with ScriptedEndpoint(lambda _: text("hello"), key=key) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            plain = await client.chat(stream=True)
            counted = await client.chat(stream=True, stream_options={"include_usage": True})
        assert all(r.body["stream_options"]["include_usage"] for r in endpoint.requests)
    assert '"usage": {' not in plain.text
    assert '"usage": {' in counted.text
    assert "hello" in plain.text
    assert plain.text.rstrip().endswith("data: [DONE]")
    assert [usage.estimated for usage in client.context.usage] == [False, False]


@pytest.mark.slow
async def test_usage_that_is_not_told_is_estimated_and_charged(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    silent = [{"choices": [{"delta": {"content": "x" * 300}}]}]
    with Upstream(silent, {"choices": []}, b"no json") as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            await client.chat(stream=True)
            await client.chat()
            assert (await client.chat()).status_code == 502
    usage = client.context.usage
    assert all(each.estimated and each.prompt_tokens > 0 for each in usage)
    assert [each.completion_tokens for each in usage] == [100, 0, 2]


async def test_the_budget_is_exact_with_many_calls_at_once(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    def answer(_: Request) -> Reply:
        return Reply(body=text("hello").body, prompt_tokens=20, completion_tokens=30, delay_s=0.05)

    with ScriptedEndpoint(answer, key=key) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url, tokens=1000) as client:
            answers = await asyncio.gather(*(client.chat() for _ in range(40)))
        sent = len(endpoint.chats)
    statuses = [each.status_code for each in answers]
    used = sum(each.prompt_tokens + each.completion_tokens for each in client.context.usage)
    assert set(statuses) == {200, 400}
    assert statuses.count(200) == sent == len(client.context.usage)
    assert used == 50 * sent <= 1000
    refused = next(each for each in answers if each.status_code == 400)
    assert "the budget does not allow this call" in refused.json()["error"]["message"]
    assert isinstance(client.sitting.failure, BudgetExhaustedError)
    assert client.sitting.over.is_set()


@pytest.mark.slow
async def test_errors_of_the_endpoint_are_passed_on_without_the_key(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    replies = [rate_limited(0.2), refusal(400, f"bad request by {key}")]
    with ScriptedEndpoint(replies, key=key) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            limited = await client.chat()
            broken = await client.post("/v1/messages", {"max_tokens": 5, "messages": HELLO})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "0.2")
    assert (broken.status_code, broken.json()["type"]) == (400, "error")
    assert "***" in broken.text
    assert key not in broken.text + json.dumps(client.context.transcript)
    assert client.context.usage == []


@pytest.mark.slow
async def test_no_endpoint_is_an_error_of_the_format(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    async with gateway(tmp_path, provider, "http://127.0.0.1:9/v1") as client:
        answer = await client.chat()
    assert answer.status_code == 502
    assert "the model endpoint" in answer.json()["error"]["message"]
    assert client.context.usage == []


@pytest.mark.slow
async def test_requests_are_bounded(tmp_path: Path, provider: SandboxProvider, key: str) -> None:
    with ScriptedEndpoint(lambda _: text("hello"), key=key) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            large = await client.post("/v1/chat/completions", b" " * (MAX_REQUEST_BYTES + 1))
            nonsense = await client.post("/v1/messages", b"[]")
            source = {"type": "url", "url": "http://elsewhere/secret"}
            content = [{"type": "image", "source": source}]
            remote = await client.chat(messages=[{"role": "user", "content": content}])
            models = (await client.http.get("/v1/models")).json()
        assert endpoint.requests == []
    assert [large.status_code, nonsense.status_code, remote.status_code] == [413, 400, 400]
    assert [model["id"] for model in models["data"]] == ["m"]


@pytest.mark.slow
async def test_a_call_is_charged_when_its_client_has_gone(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    def answer(_: Request) -> Reply:
        return Reply(body=text("hello").body, prompt_tokens=20, completion_tokens=30, delay_s=0.3)

    with ScriptedEndpoint(answer, key=key) as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            with pytest.raises(httpx2.TimeoutException):
                await client.http.post(
                    "/v1/chat/completions", json={"messages": HELLO}, timeout=0.1
                )
            async with asyncio.timeout(30):
                while not client.context.usage:
                    await asyncio.sleep(0.02)
    [usage] = client.context.usage
    assert usage == Usage(20, 30, model="m")


async def test_an_outage_is_waited_for_without_holding_budget(
    tmp_path: Path, provider: SandboxProvider, key: str
) -> None:
    with ScriptedEndpoint(lambda _: text("hello"), key=key, model="m") as endpoint:
        async with gateway(tmp_path, provider, endpoint.url) as client:
            assert (await client.chat()).status_code == 200
            endpoint.kill()
            statuses = [(await client.chat()).status_code for _ in range(FAILURES_IN_A_ROW)]
            assert statuses == [502] * FAILURES_IN_A_ROW
            [outage] = client.context.endpoints.outages()
            assert outage.url == endpoint.url
            waiting = asyncio.create_task(client.chat())
            await asyncio.sleep(0.2)
            [load] = client.context.endpoints.load()
            assert (load.waiting, load.in_flight) == (1, 0)
            endpoint.restart()
            async with asyncio.timeout(30):
                assert (await waiting).status_code == 200
            assert client.context.endpoints.outages() == []
