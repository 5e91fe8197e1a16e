"""SIGKILL while a coding agent's CLI works, then go on: its conversation, its directive."""

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from harness.agents.base import AgentConfig
from harness.agents.command.agent import CommandAgent
from harness.attempt import Operator, Status
from harness.sandbox.base import SandboxProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.context import open_context

_CHILD = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.agents.base import AgentConfig
from harness.agents.command.agent import CommandAgent
from harness.attempt import Operator
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.testing.context import open_context


async def main():
    config = AgentConfig(kind="command", command=["sh", "-c", sys.argv[2]])
    with ThreadPoolExecutor(8) as executor:
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        async with open_context(
            Path(sys.argv[1]), provider, config=config, operators=[Operator.IMPROVE] * 2
        ) as context:
            await CommandAgent(config).run(context)


asyncio.run(main())
"""

# The first directive's run leaves words in its home; the second's is killed after a submission.
_SCRIPT = """
cat > "$HOME/prompt"
if grep -q "Directive 1" "$HOME/prompt"; then
    echo "said in the first" > "$HOME/words"; harness submit -m nothing; exit 0
fi
if [ -e marker ]; then
    grep -q "You were interrupted" "$HOME/prompt" && cat "$HOME/words"
    echo "again $HARNESS_RESUMED"
    exit 0
fi
echo 5 > x.txt
harness submit -m five
touch marker
sleep 600
"""


@pytest_asyncio.fixture
async def provider() -> AsyncGenerator[SandboxProvider]:
    with ThreadPoolExecutor(8) as executor:
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        yield provider
        await provider.close()


def kill_once_there(folder: Path, marker: Path) -> None:
    """Run the agent in a process of its own, and kill that when the marker appears."""
    process = subprocess.Popen([sys.executable, "-c", _CHILD, str(folder), _SCRIPT])
    try:
        while not marker.exists():
            assert process.poll() is None
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.slow
async def test_a_killed_harness_goes_on_with_the_conversation(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    kill_once_there(tmp_path, tmp_path / "workspace" / "marker")
    config = AgentConfig(kind="command", command=["sh", "-c", _SCRIPT])
    async with open_context(
        tmp_path, provider, config=config, operators=[Operator.IMPROVE] * 2
    ) as context:
        assert context.current is not None
        await CommandAgent(config).run(context)
    [output] = [
        turn["message"]["content"]
        for turn in context.transcript
        if turn["type"] == "tool" and turn["name"] == "command"
    ]
    assert output == "said in the first\nagain 1\n[exit code 0]"
    # The marker is a change, but the directive has its submission.
    assert [(a.status, a.directive) for a in context.graph] == [
        (Status.SCORED, None),
        (Status.DUPLICATE, 1),
        (Status.SCORED, 2),
    ]
