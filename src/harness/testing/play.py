"""The `llm` agent against a script: the real client over HTTP, a sandbox, a repository."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.agents.base import AgentConfig, ModelConfig
from harness.agents.config import CompactionConfig
from harness.agents.llm import LlmAgent
from harness.sandbox.base import SandboxProvider
from harness.testing.context import LocalContext, open_context
from harness.testing.endpoint import Behaviour, Reply, Request, ScriptedEndpoint


class Played:
    """What is left of a run: the context and the chat requests."""

    def __init__(self, context: LocalContext, requests: Sequence[Request]) -> None:
        self.context = context
        self.requests = requests

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation as the model saw it last."""
        return self.requests[-1].messages

    @property
    def results(self) -> list[str]:
        """What the tools answered."""
        return [m["content"] for m in self.messages if m["role"] == "tool"]

    def said(self, words: str) -> int:
        """How many user messages hold these words."""
        return sum(m["role"] == "user" and words in m["content"] for m in self.messages)

    def turns(self, kind: str) -> list[dict[str, Any]]:
        """The records of a type in the transcript."""
        return [dict(turn) for turn in self.context.transcript if turn["type"] == kind]


async def play(
    folder: Path,
    provider: SandboxProvider,
    behaviour: Sequence[Reply] | Behaviour,
    *,
    key: str | None = None,
    max_turns: int = 40,
    context_tokens: int = 128_000,
    compaction: CompactionConfig | None = None,
    warm_start: bool = False,
    command_timeout_s: float = 5.0,
    prepare: Callable[[LocalContext], None] = lambda _: None,
    **more: Any,
) -> Played:
    """Let the agent run against a script to the end of its directives.

    `prepare` is called with the context before the agent is; `more` goes to `open_context`.
    """
    with ScriptedEndpoint(behaviour, key=key) as endpoint:
        model = ModelConfig(
            name="scripted",
            base_url=endpoint.url,
            retries=3,
            context_tokens=context_tokens,
            max_output_tokens=1000,
        )
        config = AgentConfig(
            model=model,
            max_turns=max_turns,
            command_timeout_s=command_timeout_s,
            compaction=compaction or CompactionConfig(),
            warm_start=warm_start,
        )
        async with open_context(folder, provider, config=config, **more) as context:
            prepare(context)
            await LlmAgent(config).run(context)
            return Played(context, endpoint.chats)
