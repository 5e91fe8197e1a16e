"""The `llm` agent with a model that cannot call tools."""

from itertools import pairwise
from pathlib import Path

from harness.attempt import Operator
from harness.sandbox.base import SandboxProvider
from harness.testing.behaviours import BEHAVIOURS
from harness.testing.endpoint import Reply, Request, text
from harness.testing.play import play
from harness.testing.troubles import tools_unsupported

SEED = {"points.py": b"POINTS = [(0.5, 1.0), (0.25, 2.0)]\n"}


async def test_it_works_through_directives_in_words(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    played = await play(
        tmp_path / "run",
        provider,
        BEHAVIOURS["improver-text"],
        seed=SEED | {"x.txt": b"1\n"},
        operators=(Operator.IMPROVE, Operator.IMPROVE),
    )
    assert len(played.context.graph) == 3, "the seed and an attempt for each directive"
    assert len(played.context.notes) == 2
    assert ["tools" in request.body for request in played.requests].count(True) == 1
    for request in played.requests[1:]:
        roles = [message["role"] for message in request.messages]
        assert roles[:2] == ["system", "user"]
        assert all(one != two for one, two in pairwise(roles))
    calls = [
        call for turn in played.turns("assistant") for call in turn["message"].get("tool_calls", ())
    ]
    assert [call["function"]["name"] for call in calls[:4]] == [
        "bash",
        "bash",
        "submit",
        "memory_note",
    ]


async def test_an_action_that_cannot_be_read_is_told_and_put_right(
    tmp_path: Path, provider: SandboxProvider
) -> None:
    def learner(request: Request) -> Reply:
        if "tools" in request.body:
            return tools_unsupported("ollama")
        last = str(request.messages[-1]["content"])
        if "Result of `submit`" in last:
            return text("Done.")
        if "Result of `write`:\nWrote" in last:
            return text("```action submit\n=== title ===\nseven\n=== end ===\n```")
        if "belongs to no argument" in last:
            return text(
                "I see.\n```action write\n=== path ===\nx.txt\n=== content ===\n7\n=== end ===\n```"
            )
        return text("```action write\nx.txt\n7\n```")

    played = await play(tmp_path / "run", provider, learner)
    assert played.context.graph.best is not None
    assert played.context.graph.best.score == 7.0
    (first, *_) = played.turns("tool")
    assert "=== path ===" in first["message"]["content"]
