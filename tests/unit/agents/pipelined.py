"""The `pipeline` agent at play: the real client over real HTTP, a real sandbox and repository."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.agents.base import AgentConfig, ModelConfig, TaskView
from harness.agents.heartbeats.base import Intervention
from harness.agents.pipeline.agent import PipelineAgent
from harness.attempt import Status, Verdict
from harness.sandbox.base import SandboxProvider
from harness.testing.context import DEFAULT_TASK, LocalContext, open_context
from harness.testing.endpoint import Behaviour, Reply, Request, ScriptedEndpoint, text
from harness.testing.pipeline_behaviour import asked, block

SEED = {"solve.py": b"import sys\n\nVALUE = 1\n\nopen('x.txt', 'w').write(str(VALUE))\n"}
TASK = replace(
    DEFAULT_TASK,
    description="Make the number larger that `solve.py` writes to `x.txt`.",
    produce=("python3", "solve.py"),
    submission=("*.py",),
)
PLAN = "Title: a larger value\nIdea: more is better.\nFiles:\n- solve.py: the value"
OK = "Verdict: OK"
FINDING = "Finding: larger is better."
TWO = SEED | {"b.py": b"B = 1\n"}
SLEEPS = block("solve.py", ["VALUE = 1"], ["VALUE = 2", "import time; time.sleep(600)"])


def value_score(files: Mapping[str, bytes]) -> Verdict:
    """The number after `VALUE =` in any of the files."""
    for data in files.values():
        for line in data.decode("utf-8", "replace").splitlines():
            if line.startswith("VALUE ="):
                return Verdict(Status.SCORED, float(line.removeprefix("VALUE =")))
    return Verdict(Status.INVALID, feedback="no VALUE")


def setting(value: object, old: object = 1) -> str:
    """A block that sets the value."""
    return block("solve.py", [f"VALUE = {old}"], [f"VALUE = {value}"])


def whole(value: object, path: str = "solve.py") -> str:
    """The file, whole."""
    body = SEED["solve.py"].decode().replace("VALUE = 1", f"VALUE = {value}")
    return f"```{path}\n{body}```"


class Model:
    """Answers by question; each question's answers in turn, the last one for ever."""

    def __init__(self, **answers: str | Sequence[str | Reply]) -> None:
        given = {"plan": PLAN, "refine_the_plan": PLAN, "review": OK, "analyse": FINDING} | answers
        self._answers = {name: [v] if isinstance(v, str) else list(v) for name, v in given.items()}
        self.asked: list[str] = []
        self.requests: dict[str, list[Request]] = {}

    def __call__(self, request: Request) -> Reply:
        name = asked(request)[0].lower().replace(" ", "_")
        self.asked.append(name)
        self.requests.setdefault(name, []).append(request)
        answers = self._answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return text(answer) if isinstance(answer, str) else answer

    def said(self, name: str, number: int = -1) -> str:
        """The last message of a question."""
        return str(self.requests[name][number].messages[-1]["content"])


@dataclass
class Played:
    """What is left of a run."""

    context: LocalContext

    @property
    def scores(self) -> list[float | None]:
        """Of all attempts but the seed."""
        return [attempt.score for attempt in list(self.context.graph)[1:]]

    async def best_files(self) -> Mapping[str, bytes]:
        """The files of the best attempt."""
        assert self.context.graph.best is not None
        return await self.context.read_attempt(self.context.graph.best.id)

    def stages(self, name: str) -> list[str]:
        """What the transcript says of the steps of this name."""
        return [
            turn["text"]
            for turn in self.context.transcript
            if turn["type"] == "stage" and turn["stage"] == name
        ]

    @property
    def checks(self) -> list[bool]:
        """How the checks ended."""
        return [turn["ok"] for turn in self.context.transcript if turn.get("name") == "check"]


async def play(
    folder: Path,
    provider: SandboxProvider,
    model: Behaviour,
    *,
    max_turns: int = 40,
    seed: Mapping[str, bytes] = SEED,
    task: TaskView = TASK,
    prepare: Callable[[LocalContext], None] = lambda context: None,
    command_timeout_s: float = 20.0,
    context_tokens: int = 128_000,
    **more: Any,
) -> Played:
    """Let the agent run against a model to the end of its directives."""
    with ScriptedEndpoint(model) as endpoint:
        named = ModelConfig(
            name="scripted", base_url=endpoint.url, retries=1, context_tokens=context_tokens
        )
        config = AgentConfig(model=named, max_turns=max_turns, command_timeout_s=command_timeout_s)
        given: dict[str, Any] = {"seed": seed, "task": task, "score": value_score, "config": config}
        async with open_context(folder, provider, **(given | more)) as context:
            prepare(context)
            await PipelineAgent(config).run(context)
            return Played(context)


def intervention(text: str, **more: Any) -> Intervention:
    return Intervention(rule="user", agent="agent-1", reason="told", text=text, **more)
