"""The `command` agent in a container without network: the same relay, tools and gateway."""

import asyncio
import json
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.command.agent import CommandAgent
from harness.attempt import Operator
from harness.sandbox.base import SandboxProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker import DockerProvider
from harness.testing.cli import cli
from harness.testing.context import open_context
from harness.testing.endpoint import ScriptedEndpoint, text

pytestmark = [pytest.mark.docker, pytest.mark.slow]

KEY = "sk-very-secret-1234567890"


@pytest_asyncio.fixture
async def provider() -> AsyncGenerator[SandboxProvider]:
    with ThreadPoolExecutor(16) as executor:
        provider = DockerProvider(SandboxConfig(provider="docker"), executor)
        yield provider
        await provider.close()


async def test_a_cli_in_a_container_submits_and_calls_models(
    tmp_path: Path, provider: SandboxProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_TEST_MODEL_KEY", KEY)
    command = cli(
        ["chat", "hi"],
        ["messages", "hi", {"stream": True}],
        ["post", "/v1/messages", "wrong", {}],
        ["sh", "echo $(($(wc -l < $HOME/runs) + 5)) > x.txt 2>/dev/null || echo 5 > x.txt"],
        ["sh", "echo run >> $HOME/runs; echo resumed=$HARNESS_RESUMED"],
        ["sh", 'harness submit -m "from a container"; harness board; ls /sys/class/net'],
    )
    with ScriptedEndpoint(lambda _: text("hello"), key=KEY) as endpoint:
        model = ModelConfig(name="m", base_url=endpoint.url, key_variable="HARNESS_TEST_MODEL_KEY")
        config = AgentConfig(kind="command", command=list(command), model=model)
        async with open_context(
            tmp_path, provider, config=config, operators=[Operator.IMPROVE] * 2
        ) as context:
            async with asyncio.timeout(200):
                await CommandAgent(config).run(context)
    assert [attempt.score for attempt in context.graph] == [1, 5, 6]
    assert len(context.usage) == 4
    outputs = [
        turn["message"]["content"]
        for turn in context.transcript
        if turn["type"] == "tool" and turn["name"] == "command"
    ]
    assert "resumed=\\n" in outputs[0]
    assert "resumed=1\\n" in outputs[1]
    for output in outputs:
        assert "hello" in output
        assert '"status": 401' in output
        assert '"output": "' in output
        steps = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert steps[-1]["came"]["output"].endswith("\nlo\n")
    assert KEY not in json.dumps(context.transcript)


@pytest.mark.parametrize("transport", ["bind", "tar"])
async def test_a_shell_script_in_a_container(
    tmp_path: Path, transport: Literal["bind", "tar"]
) -> None:
    script = 'grep -q "Directive 1" && echo 5 > x.txt && harness diff && harness submit -m five'
    config = AgentConfig(kind="command", command=["sh", "-c", script])
    with ThreadPoolExecutor(16) as executor:
        settings = SandboxConfig(provider="docker", transport=transport)
        provider = DockerProvider(settings, executor)
        async with open_context(tmp_path, provider, config=config) as context:
            async with asyncio.timeout(200):
                await CommandAgent(config).run(context)
        await provider.close()
    assert [attempt.score for attempt in context.graph] == [1, 5]
