"""Statuses and documents over real HTTP, with an evaluator that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.web.scripted import ScriptedEvaluator

from harness.errors import ConfigurationError
from harness.evaluators.pool import EvaluatorPool
from harness.tasks.loader import load_task
from harness.testing.evaluator import write_task
from harness.web.evaluator.candidates import Candidates
from harness.web.evaluator.contract import FAILED_SCORE, Contract
from harness.web.evaluator.desk import EvaluationDesk
from harness.web.evaluator.service import EvaluatorService, is_loopback, serving

TOKEN = "a-token-of-the-test"
BEARER = f"Bearer {TOKEN}"


@dataclass
class Served:
    """A server of a task whose candidates say what they come to."""

    evaluator: ScriptedEvaluator
    desk: EvaluationDesk
    url: str
    session: aiohttp.ClientSession
    executor: ThreadPoolExecutor

    async def ask(
        self, path: str, body: Any = None, *, authorization: str | None = BEARER
    ) -> tuple[int, Any]:
        """Status and document; posts where there is a body, which may be bytes as they are."""
        headers = {} if authorization is None else {"Authorization": authorization}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        method = "GET" if data is None else "POST"
        async with self.session.request(
            method, self.url + path, data=data, headers=headers
        ) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()


@asynccontextmanager
async def served(folder: Path, *, limit: int | None = None, **file: Any) -> AsyncGenerator[Served]:
    """Serve; `file` overrides keys of task.yaml."""
    write_task(folder)
    path = folder / "task.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), **file}), encoding="utf-8")
    task = load_task(folder)
    evaluator = ScriptedEvaluator()
    desk = EvaluationDesk(EvaluatorPool(evaluator, 2), task.direction, limit=limit)
    with ThreadPoolExecutor(2) as executor:
        service = EvaluatorService(desk, Candidates(task), Contract(task), TOKEN, executor)
        async with (
            serving(service, "127.0.0.1", 0) as url,
            aiohttp.ClientSession() as session,
        ):
            yield Served(evaluator, desk, url, session, executor)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN],
)
async def test_nothing_is_told_without_the_token(tmp_path: Path, authorization: str | None) -> None:
    async with served(tmp_path) as one:
        for path, body in (
            ("/evaluate", {"candidate": "1"}),
            ("/status", None),
            ("/task", None),
            ("/nothing", None),
        ):
            status, document = await one.ask(path, body, authorization=authorization)
            assert (status, list(document)) == (401, ["error"])
        assert one.evaluator.evaluated == []


async def test_a_score_that_is_minimised_is_reported_upside_down(tmp_path: Path) -> None:
    objectives = [{"metric": "size", "direction": "minimize"}]
    async with served(tmp_path, direction="minimize", objectives=objectives) as one:
        status, document = await one.ask("/evaluate", {"candidate": "2.5", "example_id": "any"})
        assert status == 200
        assert document["score"] == -2.5
        info = document["info"]
        assert (info["raw_score"], info["direction"]) == (2.5, "minimize")
        assert info["scores"] == {"score": -2.5, "size": -25.0}
        assert (info["feedback"], info["metrics"]) == ("judged", {"size": 25.0})
        _, worse = await one.ask("/evaluate", {"candidate": "failed"})
        assert worse["score"] == FAILED_SCORE
        assert worse["info"]["raw_score"] is None
        assert worse["info"]["scores"] == {"score": FAILED_SCORE, "size": FAILED_SCORE}
        await one.ask("/evaluate", {"candidate": "3"})
        _, found = await one.ask("/status")
        assert (found["best_score"], found["best"]["raw_score"]) == (-2.5, 2.5)


async def test_examples_are_the_one_task(tmp_path: Path) -> None:
    async with served(tmp_path, limit=2) as one:
        status, document = await one.ask("/evaluate_examples", {"candidate": "4"})
        assert status == 200
        assert (document["average_score"], document["scores"]) == (4.0, {"_single": 4.0})
        assert document["infos"]["_single"]["status"] == "scored"
        assert (document["num_evaluated"], document["errors"]) == (1, {})
        assert document["budget"] == {
            "exhausted": False,
            "used": 1,
            "max_evals": 2,
            "remaining_evals": 1,
        }
        status, document = await one.ask(
            "/evaluate_examples", {"candidate": "4", "example_ids": ["train_0"]}
        )
        assert status == 400
        assert "no data set" in document["error"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b'{"candidate": "1"} x', "Extra data"),
        (b'{"candidate": NaN}', "NaN is not JSON"),
        (b'{"candidate": "1", "candidate": "2"}', "is there twice"),
        (b'{"candidate": "\xff"}', "not UTF-8"),
        (b"[" * 5000, "nested deeper"),
        (b"[]", "a JSON object with 'candidate'"),
        (b'{"canidate": "1"}', "a JSON object with 'candidate'"),
        (b'{"candidate": 1}', "must be a text, or an object"),
        (b'{"candidate": "\\ud800"}', "half a surrogate pair"),
        (b'{"candidate": {"../judge.py": ""}}', "'..' is not a name"),
    ],
)
async def test_bad_input_costs_nothing_and_is_explained(
    tmp_path: Path, body: bytes, why: str
) -> None:
    async with served(tmp_path) as one:
        status, document = await one.ask("/evaluate", body)
        assert status == 400
        assert why in document["error"]
        assert document["budget"] == {"exhausted": False, "used": 0}
        assert one.evaluator.evaluated == []


async def test_a_body_larger_than_any_submission_is_not_read(tmp_path: Path) -> None:
    async with served(tmp_path, submission={"max_bytes": 1000}) as one:
        status, document = await one.ask("/evaluate", b" " * 80_000)
        assert status == 413
        assert "exceeded" in document["error"]
        status, document = await one.ask("/evaluate", {"candidate": "1" + " " * 2000})
        assert status == 400
        assert "1000 bytes" in document["error"]


async def test_other_addresses_and_methods_are_refused_in_json(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        assert (await one.ask("/nothing"))[0] == 404
        assert (await one.ask("/evaluate"))[0] == 405
        assert (await one.ask("/status", {}))[0] == 405


async def test_a_spent_budget_is_429_and_known_trees_are_still_answered(tmp_path: Path) -> None:
    async with served(tmp_path, limit=1) as one:
        await one.ask("/evaluate", {"candidate": "1"})
        for path in ("/evaluate", "/evaluate_examples"):
            status, document = await one.ask(path, {"candidate": "2"})
            assert status == 429
            assert document["budget"]["exhausted"] is True
        status, document = await one.ask("/evaluate", {"candidate": {"solve.py": "1"}})
        assert (status, document["info"]["duplicate"]) == (200, True)


async def test_judges_words_stay_here_and_their_failure_is_500(tmp_path: Path) -> None:
    async with served(tmp_path, limit=1) as one:
        status, document = await one.ask("/evaluate", {"candidate": "evaluator_error"})
        assert status == 500
        assert document["budget"]["used"] == 0
        _, failed = await one.ask("/evaluate", {"candidate": "failed"})
        assert failed["info"]["feedback"] == "it is failed"
        assert "own words" not in json.dumps([document, failed])


async def test_closing_answers_503_to_those_who_wait(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        waiting = asyncio.create_task(one.ask("/evaluate", {"candidate": "wait 1"}))
        while not one.evaluator.evaluated:
            await asyncio.sleep(0.01)
        await one.desk.close()
        status, document = await waiting
        assert status == 503
        assert "closed before this was scored" in document["error"]
        assert (await one.ask("/evaluate", {"candidate": "1"}))[0] == 503


async def test_what_nobody_thought_of_is_an_answer_too(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        one.executor.shutdown()
        status, document = await one.ask("/evaluate", {"candidate": "1"})
        assert (status, document["error"]) == (500, "the server failed: RuntimeError")
        assert (await one.ask("/status"))[0] == 200


async def test_the_task_is_described(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        status, document = await one.ask("/task")
        assert status == 200
        assert document["objective"] == "Write a number."
        seed = (tmp_path / "seed" / "solve.py").read_text(encoding="utf-8")
        assert document["seed_candidate"] == seed
        assert document["has_dataset"] is False
        assert (document["direction"], document["files"]) == ("maximize", ["solve.py"])
        assert document["limits"]["timeout_s"] == 20
        assert "the-private-answer" not in json.dumps(document)


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    async with served(tmp_path / "one") as one:
        port = int(one.url.rpartition(":")[2])
        task = load_task(tmp_path / "one")
        with ThreadPoolExecutor(1) as executor:
            service = EvaluatorService(one.desk, Candidates(task), Contract(task), TOKEN, executor)
            with pytest.raises(ConfigurationError, match=f"127.0.0.1 port {port}"):
                async with serving(service, "127.0.0.1", port):
                    raise AssertionError("it listens")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example", False),
        ("10.0.0.1", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
