"""The desk: each tree once, never more than the budget, and what fails on our side is free."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.unit.web.scripted import ScriptedEvaluator

from harness.attempt import Direction, Status
from harness.errors import BudgetExhaustedError, InfrastructureError
from harness.evaluators.pool import EvaluatorPool
from harness.sandbox.tree import TreeFile
from harness.tasks.loader import load_task
from harness.testing.evaluator import write_task
from harness.web.evaluator.desk import (
    ClosingError,
    EvaluationDesk,
    Scored,
    evaluations_of,
    tree_hash,
)


def files(text: str) -> dict[str, TreeFile]:
    return {"solve.py": TreeFile(text.encode())}


def desk_of(
    evaluator: ScriptedEvaluator, *, limit: int | None = None, direction: Direction = "maximize"
) -> EvaluationDesk:
    return EvaluationDesk(EvaluatorPool(evaluator, 2), direction, limit=limit)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_same_tree_is_evaluated_once_and_charged_once() -> None:
    evaluator = ScriptedEvaluator()
    desk = desk_of(evaluator, limit=1)
    first = await desk.evaluate(files("2"))
    again = await desk.evaluate(files("2"))
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.scored is again.scored
    assert evaluator.evaluated == ["2"]
    assert (desk.used, desk.left) == (1, 0)


async def test_who_asks_while_it_is_evaluated_waits_for_the_same_verdict() -> None:
    evaluator = ScriptedEvaluator()
    desk = desk_of(evaluator, limit=1)
    asked = [asyncio.create_task(desk.evaluate(files("wait 2"))) for _ in range(5)]
    await settle()
    assert evaluator.evaluated == ["wait 2"]
    evaluator.go_on.set()
    answers = await asyncio.gather(*asked)
    assert [answer.duplicate for answer in answers] == [False, True, True, True, True]
    assert {answer.scored.verdict.score for answer in answers} == {2.0}


async def test_parallel_requests_never_exceed_the_budget() -> None:
    evaluator = ScriptedEvaluator()
    desk = desk_of(evaluator, limit=3)
    asked = [asyncio.create_task(desk.evaluate(files(f"wait {n}"))) for n in range(10)]
    await settle()
    assert (desk.used, desk.left, desk.running, desk.queued) == (3, 0, 2, 1)
    evaluator.go_on.set()
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(end, BudgetExhaustedError) for end in ends) == 7
    assert len(evaluator.evaluated) == 3


@pytest.mark.parametrize("status", [Status.EVALUATOR_ERROR, Status.SANDBOX_LOST])
async def test_what_fails_on_our_side_is_free_and_may_be_tried_again(status: Status) -> None:
    evaluator = ScriptedEvaluator()
    desk = desk_of(evaluator, limit=1)
    for _ in range(2):
        with pytest.raises(InfrastructureError, match=status.value):
            await desk.evaluate(files(status.value))
        assert desk.used == 0
    assert len(evaluator.evaluated) == 2
    assert (await desk.evaluate(files("1"))).scored.verdict.score == 1.0


async def test_what_the_candidate_does_is_charged() -> None:
    desk = desk_of(ScriptedEvaluator(), limit=1)
    answer = await desk.evaluate(files("timeout"))
    assert answer.scored.verdict.status is Status.TIMEOUT
    assert desk.left == 0


@pytest.mark.parametrize(("direction", "best"), [("maximize", 3.0), ("minimize", 1.0)])
async def test_the_best_goes_by_the_tasks_direction(direction: Direction, best: float) -> None:
    desk = desk_of(ScriptedEvaluator(), direction=direction)
    for text in ("2", "failed", "3", "1", " 3", " 1"):
        await desk.evaluate(files(text))
    assert desk.best is not None
    assert desk.best.verdict.score == best
    assert desk.best.tree == tree_hash(files(str(int(best))))  # the earliest of equals
    assert desk.left is None


async def test_a_client_that_goes_away_leaves_a_verdict() -> None:
    evaluator = ScriptedEvaluator()
    heard: list[Scored] = []
    pool = EvaluatorPool(evaluator, 1)
    desk = EvaluationDesk(pool, "maximize", limit=1, listener=heard.append)
    asked = asyncio.create_task(desk.evaluate(files("wait 4")))
    await settle()
    asked.cancel()
    await settle()
    assert asked.cancelled()
    evaluator.go_on.set()
    answer = await desk.evaluate(files("wait 4"))
    assert (answer.duplicate, answer.scored.verdict.score) == (True, 4.0)
    assert heard == [answer.scored]
    assert evaluator.evaluated == ["wait 4"]


async def test_a_listener_that_fails_costs_no_verdict() -> None:
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: failed.append(context["exception"])
    )

    def fails(scored: Scored) -> None:
        raise BrokenPipeError

    pool = EvaluatorPool(ScriptedEvaluator(), 1)
    desk = EvaluationDesk(pool, "maximize", limit=1, listener=fails)
    assert (await desk.evaluate(files("1"))).scored.verdict.score == 1.0
    assert (await desk.evaluate(files("1"))).duplicate
    assert [type(error) for error in failed] == [BrokenPipeError]


async def test_closing_cuts_off_what_runs_and_what_waits() -> None:
    evaluator = ScriptedEvaluator()
    desk = desk_of(evaluator, limit=9)
    asked = [asyncio.create_task(desk.evaluate(files(f"wait {n}"))) for n in range(4)]
    await settle()
    await desk.close()
    await desk.close()
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, ClosingError) for end in ends)
    assert evaluator.cancelled == 2
    assert desk.used == 0
    with pytest.raises(ClosingError):
        await desk.evaluate(files("1"))


@pytest.mark.parametrize(
    ("budget", "per_agent", "wanted", "limit"),
    [
        (50, None, None, 50),
        (50, None, 80, 80),
        (None, None, None, None),
        (50, 7, None, 7),
        (50, 7, 80, 7),
        (50, 7, 3, 3),
        (None, 7, None, 7),
    ],
)
def test_the_limit_is_the_tasks_unless_another_is_wanted(
    tmp_path: Path, budget: int | None, per_agent: int | None, wanted: int | None, limit: int | None
) -> None:
    write_task(tmp_path, hidden={"per_agent": per_agent} if per_agent else None)
    path = tmp_path / "task.yaml"
    file = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**file, "budget": {"evaluations": budget}}), encoding="utf-8")
    assert evaluations_of(load_task(tmp_path), wanted) == limit


def test_the_hash_tells_trees_apart() -> None:
    trees = [
        {"a": TreeFile(b"1")},
        {"a": TreeFile(b"1", executable=True)},
        {"b": TreeFile(b"1")},
        {"a": TreeFile(b"2")},
        {"a": TreeFile(b"1"), "b": TreeFile(b"")},
        {"a": TreeFile(b""), "b": TreeFile(b"1")},
    ]
    assert len(set(map(tree_hash, trees))) == len(trees)
    assert tree_hash({"b": TreeFile(b"1"), "a": TreeFile(b"")}) == tree_hash(trees[-1])
