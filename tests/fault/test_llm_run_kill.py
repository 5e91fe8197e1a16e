"""SIGKILL of the launcher while its `llm` agents ask the model, run a command, submit, or have
their conversation summarised; then `harness resume`.

The endpoint lives on and sees every conversation, so what an agent went on with is known from what
it sent. The scripted model stamps each directive's tree, so that a second submission would show.
"""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from tests.e2e.conftest import HARNESS
from tests.e2e.reading import agents, answer, calls, events, query, turns

from harness.testing.behaviours import stamping
from harness.testing.endpoint import JsonObject, Reply, Request, ScriptedEndpoint, text

pytestmark = pytest.mark.slow

Point = Literal["turn", "tool", "submit", "verdict", "note", "compaction"]
"""Where the launcher is killed: a model call in flight, a command running, a submission under way,
an evaluation running, a note just written, a summary asked for."""

POINTS: tuple[Point, ...] = ("turn", "tool", "submit", "verdict", "note", "compaction")
EVALUATIONS = 20
FIRST = 1000
"""An answer's completion tokens are its request's number and so many."""
PATIENCE_S = 120.0
REPEATED = "this call was repeated after a restart"
_EXTRA = "echo STAMP >> ticks.txt; echo ticks: $(wc -l < ticks.txt); seq 1 600; sleep 0.8"
"""An effect that shows how often it was had, an output that fills the window, time to be killed."""
_STAMPER = stamping(_EXTRA)
_SIGNS: dict[Point, str] = {
    "verdict": "SELECT id FROM attempts WHERE verdict IS NULL AND id > 0",
    "note": "SELECT id FROM memory_log WHERE op = 'write' AND attempt IS NULL",
}

SETTINGS = {
    "agents": 2,
    "heartbeats": list[str](),
    "agent": {"model": {"name": "scripted", "context_tokens": 10_000, "max_output_tokens": 800}},
}


def is_summary(request: Request) -> bool:
    """Whether it asks for the summary of older turns."""
    return str(request.messages[-1]["content"]).startswith("These are the turns")


def agent_of(request: Request) -> str:
    """Whose request it is."""
    found = re.search(r"You are (agent-\d+)", str(request.messages[0]["content"]))
    assert found
    return found[1]


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL: where, of a model call which, and what there was at that time."""

    point: Point
    request: Request | None
    in_flight: frozenset[int]
    """The number of each agent's newest request."""
    verdicts: dict[int, str]


@dataclass
class Victim:
    """A run that is launched, killed and resumed; also the behaviour of its endpoint."""

    folder: Path
    rng: random.Random
    url: str = ""
    kills: list[Kill] = field(default_factory=list[Kill])
    requests: list[Request] = field(default_factory=list[Request])
    _armed: Point | None = None
    _skip: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _dead: threading.Event = field(default_factory=threading.Event)

    @property
    def run(self) -> Path:
        return next((self.folder / "runs").iterdir())

    def start(self, *arguments: str) -> None:
        (self.folder / "harness.yaml").write_text(json.dumps(SETTINGS), encoding="utf-8")
        environment = {
            **os.environ,
            "HARNESS_MEMORY": str(self.folder / "memory"),
            # Who it is for is not in that call, and the model here answers by that.
            "HARNESS_MEMORY__DISTIL_BY_MODEL": "false",
            "OPENAI_BASE_URL": self.url,
            "OPENAI_API_KEY": "key",
        }
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [HARNESS, *arguments, "--display", "plain"],
                cwd=self.folder, env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    def behave(self, request: Request) -> Reply:
        """The stamper's reply, numbered; kills the launcher first when this is the point."""
        self.requests.append(request)
        reply = text("All of it went well.") if is_summary(request) else _STAMPER(request)
        called = reply.body["choices"][0]["message"].get("tool_calls")
        submits = bool(called) and called[0]["function"]["name"] == "submit"
        if self._is_due("compaction", is_summary(request)):
            self._kill("compaction", request)
        elif self._is_due("turn", not is_summary(request)):
            self._kill("turn", request)
        elif self._is_due("submit", submits):
            # From before the tree is read to after it is recorded.
            wait_s = self.rng.uniform(0.0, 0.25)
            threading.Timer(wait_s, self._kill, ("submit", request)).start()
        return replace(reply, completion_tokens=FIRST + request.number)

    def kill_at(self, point: Point) -> None:
        """Wait for the point, kill there, and see the launcher dead."""
        assert self._process is not None
        self._dead.clear()
        self._skip = 0 if point == "compaction" else self.rng.randint(0, 1)
        self._armed = point
        seen = self._signs(point)
        deadline = time.monotonic() + PATIENCE_S
        while not self._dead.wait(0.005):
            ended = self._process.poll() is not None
            assert not ended or self._dead.wait(5), (point, self._said())
            assert time.monotonic() < deadline, (point, self._said())
            now = self._signs(point)
            if self._is_due(point, bool(now - seen)):
                if point != "note":  # that is over at once
                    time.sleep(self.rng.uniform(0.0, 0.15))
                self._kill(point, None)
            seen |= now
        assert self._process.wait(PATIENCE_S) == -signal.SIGKILL, self._said()

    def finish(self) -> None:
        """Wait for the run's own end."""
        assert self._process is not None
        assert self._process.wait(PATIENCE_S) == 0, self._said()

    def end(self) -> None:
        """Whatever the test came to, nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def of(self, agent: str) -> list[Request]:
        """An agent's requests, in order."""
        return [request for request in self.requests if agent_of(request) == agent]

    def _is_due(self, point: Point, matches: bool) -> bool:
        """Whether this is where to kill; true once, though agents ask side by side."""
        with self._lock:
            if self._armed != point or not matches:
                return False
            self._skip -= 1
            if self._skip < 0:
                self._armed = None
            return self._skip < 0

    def _kill(self, point: Point, request: Request | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        newest = {agent_of(each): each.number for each in self.requests}
        rows = query(self.run, "SELECT id, verdict FROM attempts WHERE verdict IS NOT NULL")
        verdicts = {row["id"]: row["verdict"] for row in rows}
        self.kills.append(Kill(point, request, frozenset(newest.values()), verdicts))
        self._dead.set()

    def _signs(self, point: Point) -> frozenset[str]:
        """What commands have left in the workspaces, evaluations under way, notes written."""
        if point == "tool":
            found = self.folder.glob("runs/*/workspaces/*/ticks.txt")
            return frozenset(line for path in found for line in path.read_text("utf-8").split())
        if point not in _SIGNS:
            return frozenset()
        try:
            rows = query(self.run, _SIGNS[point])
        except (StopIteration, FileNotFoundError, sqlite3.OperationalError):
            return frozenset()  # it is just being made
        return frozenset(str(row["id"]) for row in rows)

    def _said(self) -> str:
        return (self.folder / "log.txt").read_text("utf-8")[-3000:]


@pytest.fixture
def victim(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Victim]:
    victim = Victim(tmp_path, random.Random(request.param))
    try:
        yield victim
    finally:
        victim.end()


@pytest.mark.parametrize("victim", [1], indirect=True)
def test_agents_go_on_from_their_last_step(victim: Victim) -> None:
    points = list(POINTS)
    victim.rng.shuffle(points)
    with ScriptedEndpoint(victim.behave) as endpoint:
        victim.url = endpoint.url
        victim.start("launch", "circle_packing", "--evals", str(EVALUATIONS), "--sandbox",
                     "process", "--unsafe", "--memory", "run")  # fmt: skip
        for point in points:
            victim.kill_at(point)
            victim.start("resume", "latest")
        victim.finish()
    assert [kill.point for kill in victim.kills] == points
    _check_attempts(victim)
    _check_notes(victim)
    _check_commands(victim)
    _check_conversations(victim)
    _check_tokens(victim, endpoint)


def _check_attempts(victim: Victim) -> None:
    """One attempt a directive, each with its verdict; no more evaluations than there were to be."""
    rows = query(victim.run, "SELECT * FROM attempts")
    assert len(rows) == EVALUATIONS
    assert {row["status"] for row in rows} == {"scored"}
    assert len({row["tree"] for row in rows}) == EVALUATIONS
    for row in rows[1:]:
        assert row["title"] == f"{row['agent']}-directive-{row['directive']}"
    final = {row["id"]: row["verdict"] for row in rows}
    for kill in victim.kills:
        assert kill.verdicts.items() <= final.items(), "no verdict is lost or given anew"
    judged = Counter(each["attempt"] for each in events(victim.run, "verdict"))
    assert set(judged.values()) == {1}
    numbers = [each["number"] for each in events(victim.run, "directive")]
    assert len(set(numbers)) == len(numbers), "no directive is given twice"


def _check_notes(victim: Victim) -> None:
    sql = "SELECT query, records FROM memory_log WHERE op = 'write' AND attempt IS NULL"
    written = query(victim.run, sql)
    notes = {(row["query"], json.loads(row["records"])[0]["id"]) for row in written}
    assert len(notes) == len({title for title, _ in notes}) > 0, "a repeated note is the same one"
    assert len(written) == len(notes), "the log has each of them once"


def _check_commands(victim: Victim) -> None:
    """A command that had its effect twice says so to the model."""
    twice = 0
    for agent in agents(victim.run):
        told = [str(m["content"]) for request in victim.of(agent) for m in request.messages]
        for record in calls(turns(victim.run, agent), "bash"):
            found = re.search(r"^ticks: (\d+)$", answer(record), re.MULTILINE)
            assert found, answer(record)
            if int(found[1]) > 1:
                twice += 1
                assert record["repeated"]
                assert REPEATED in answer(record)
                assert answer(record) in told or record is turns(victim.run, agent)[-1]
    assert twice > 0, "no kill hit a running command"


def _check_conversations(victim: Victim) -> None:
    """Each request goes on where the one before it ended, unless turns were folded in between."""
    killed = {kill.request.number: kill.point for kill in victim.kills if kill.request}
    resumed = 0
    for agent in agents(victim.run):
        folded = sum(each["type"] == "compaction" for each in turns(victim.run, agent))
        breaks = 0
        for earlier, later in pairwise(victim.of(agent)):
            point = killed.get(earlier.number)
            if point == "compaction":
                assert is_summary(later), "the summary is asked for again"
                resumed += 1
            elif point == "turn":
                assert _same(later.messages, earlier.messages), "the same question, no step lost"
                resumed += 1
        for earlier, later in pairwise([r for r in victim.of(agent) if not is_summary(r)]):
            breaks += not _goes_on(earlier.messages, later.messages)
        assert breaks <= folded, "nothing but compaction takes turns away"
    assert resumed == sum(kill.point in ("turn", "compaction") for kill in victim.kills)
    assert any(is_summary(request) for request in victim.requests)


def _same(left: Sequence[JsonObject], right: Sequence[JsonObject]) -> bool:
    return len(left) == len(right) and _goes_on(left, right)


def _goes_on(earlier: Sequence[JsonObject], later: Sequence[JsonObject]) -> bool:
    """Whether `later` begins with `earlier`; what is said to the model in a row is one message."""
    end = len(earlier) - 1
    if list(earlier[:end]) != list(later[:end]) or len(later) <= end:
        return False
    last, there = earlier[end], later[end]
    grown = str(there["content"]).startswith(str(last["content"]))
    return last == there or (last["role"] == there["role"] == "user" and grown)


def _check_tokens(victim: Victim, endpoint: ScriptedEndpoint) -> None:
    """Each answer that a launcher lived to read is recorded once, with what it was billed."""
    billed = {
        request.number: (reply.body["usage"]["prompt_tokens"], FIRST + request.number)
        for request, reply in endpoint.sent
        if request.path.endswith("/chat/completions")
    }
    rows = query(victim.run, "SELECT * FROM model_calls")
    recorded = {
        row["completion_tokens"] - FIRST: (row["prompt_tokens"], row["completion_tokens"])
        for row in rows
        if not row["estimated"]
    }
    estimated = sum(row["estimated"] for row in rows)
    assert len(recorded) + estimated == len(rows), "no answer is counted twice"
    for number, usage in recorded.items():
        assert usage == billed[number]
    in_flight = {number for kill in victim.kills for number in kill.in_flight}
    lost = set(billed) - set(recorded) - in_flight
    assert len(lost) <= estimated <= 2, "given up at the end of the run"
    total = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)
    said = subprocess.run(
        [HARNESS, "status", "latest", "--json"],
        cwd=victim.folder, capture_output=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    status = json.loads(said.stdout)
    assert (status["tokens"], status["evaluations"]) == (total, EVALUATIONS)
