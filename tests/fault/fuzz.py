"""SIGKILL of the harness at many seeded points; after each, `harness resume` and nothing else.

    python -m tests.fault.fuzz [--points 204] [--seed N] [--workers 2]

A victim is one run. It is killed at `POINTS` points, each time while it is launched, resumed or at
work, then it comes to its end and everything that must hold of it is checked. A point is the n-th
change of some of its files, the n-th entry of some kind in its journal, or a moment. What the same
seed chooses is the same; where exactly it strikes is up to the machine.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from tests.conftest import bubblewrap_problem, docker_problem
from tests.e2e.reading import events, query
from tests.fault.commander import Commander
from tests.fault.victim import (
    Snapshot,
    Victim,
    check_acknowledged,
    check_run,
    leftovers,
    runners,
)
from tests.fault.watch import Watch

from harness.run.config import read_saved
from harness.run.folder import RunFolder, live_process
from harness.sandbox.docker_client import connect
from harness.testing.behaviours import stamping
from harness.testing.endpoint import ScriptedEndpoint

POINTS = 6
"""Kills of one victim."""
PATIENCE_S = 120.0
SESSION_S = 30.0
"""After so long the kill comes wherever the run is."""
LEFTOVERS_S = 20.0
"""How long what a killed harness started may take to go."""

KINDS = ("process", "bubblewrap", "llm", "process", "docker", "process")
"""Sandboxes with offline agents; `llm` agents work in plain processes. In turn."""

HEARTBEATS = [
    {"name": "each", "trigger": "interval", "every": 2, "prompt": "each"},
    {"name": "all", "trigger": "interval", "every": 3, "scope": "team", "prompt": "all"},
]
MODEL = {"model": {"name": "scripted", "context_tokens": 10_000, "max_output_tokens": 800}}

FILES: dict[str, tuple[str, int]] = {
    "launch": ("runs", 90),
    "store": ("run.db", 120),
    "objects": ("attempts.git/objects", 120),
    "refs": ("attempts.git/refs", 24),
    "memory": ("memory", 60),
    "scratch": ("scratch", 60),
    "workspaces": ("workspaces", 60),
    "transcripts": ("transcripts", 30),
    "checkpoints": ("agents.db", 40),
    "config": ("config", 2),
    "temporary": ("tmp", 40),
}
"""A part of the path of the files whose changes are counted, and the highest number."""
JOURNAL = ("directive", "submitted", "started", "verdict", "command", "intervention", "ended")


class Point(NamedTuple):
    """Where the kill comes: at the `nth` sign of `kind`, and `delay_s` later."""

    kind: str
    nth: int
    delay_s: float

    def __str__(self) -> str:
        if self.kind == "moment":
            return f"{self.delay_s:.3f} s after the start"
        return f"{self.kind} {self.nth} + {1000 * self.delay_s:.1f} ms"


def choose(rng: random.Random, *, fresh: bool) -> Point:
    """A point; for a run that is not there yet, most are in its making."""
    draw = rng.random()
    if fresh and draw < 0.6:
        return Point("launch", rng.randint(1, FILES["launch"][1]), 0.0)
    if draw < 0.25:
        return Point("moment", 0, rng.uniform(0.0, 6.0))
    delay_s = rng.choice([0.0, rng.uniform(0, 0.003), rng.uniform(0, 0.08)])
    if draw < 0.5:
        return Point(rng.choice(JOURNAL), rng.randint(1, 4), delay_s)
    kind = rng.choice([each for each in FILES if each != "launch"])
    # Low numbers more often: the first are those of the start.
    return Point(kind, round(FILES[kind][1] ** rng.random()), delay_s)


@dataclass
class Fuzz:
    """One victim from its launch to its end."""

    victim: Victim
    kind: str
    rng: random.Random
    snapshots: list[Snapshot] = field(default_factory=list[Snapshot])
    struck: list[str] = field(default_factory=list[str])
    trying: str = ""
    _budget: int = 10
    """The least and, but for commands without an answer, the only budget there can be."""
    _process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.commander = Commander(self._run, random.Random(self.rng.random()))
        settings: dict[str, object] = {"heartbeats": HEARTBEATS}
        if self.kind == "llm":
            settings["agent"] = MODEL
        path = self.victim.folder / "harness.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def all(self, points: int) -> None:
        """Kill it so many times, let it end, check it."""
        while len(self.struck) < points:
            self._session()
        if self._run() is None or self._status() != "ended" or not self._spent():
            process = self._process = self.victim.start(*self._arguments(), "--json")
            assert process.wait(PATIENCE_S) == 0, self.victim.said()
            self._compare_budget()
        assert self._status() == "ended"
        check_run(self.victim, self.snapshots, self._budget)
        self._check_acknowledged()
        self._check_leftovers()

    def end(self) -> None:
        """Whatever it came to, nothing is left running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._kill_detached()

    def _run(self) -> Path | None:
        runs = self.victim.runs
        return runs[-1] if runs else None

    def _status(self) -> str:
        asked = self.victim.ask("status", "--json")
        assert asked.returncode == 0, asked.stderr
        state = yaml.safe_load(asked.stdout)["state"]
        assert state in ("ended", "interrupted"), state
        return str(state)

    def _spent(self) -> bool:
        """Whether the run has used its budget up."""
        return len(self.victim.snapshot().verdicts) >= self._budget

    def _arguments(self) -> list[str]:
        """How the run is gone on with, or begun."""
        if self._run() is not None:
            if self._spent() and self._status() == "ended":
                self.commander.perhaps += 4
                return ["resume", "latest", "--evals", "+4"]
            return ["resume", "latest"]
        arguments = ["launch", "circle_packing", "--evals", str(self._budget), "--slots", "2"]
        if self.kind == "llm":
            arguments += ["--model", "scripted"]
            return [*arguments, "--agents", "2", "--sandbox", "process", "--unsafe"]
        return [*arguments, "--agents", "3", "--sandbox", self.kind]

    def _session(self) -> None:
        """Launch or resume, kill, look at what is there."""
        point = choose(self.rng, fresh=self._run() is None)
        arguments = self._arguments()
        if self.rng.random() < 0.15:
            arguments.append("--detach")
        commands = self.rng.random() < 0.4 or point.kind in ("command", "config")
        self.trying = f"{' '.join(arguments)}: {point}{', commands' if commands else ''}"
        with contextlib.ExitStack() as stack:
            watch = stack.enter_context(Watch(self.victim.folder))
            process = self._process = self.victim.start(*arguments, "--json")
            if commands:
                stack.enter_context(self.commander.at_work(len(self.struck)))
            killed = self._kill(process, point, watch)
        if killed:
            self.struck.append(self.trying)
        if self._run() is not None:
            self._look(killed)

    def _kill(self, process: "subprocess.Popen[bytes]", point: Point, watch: Watch) -> bool:
        """Wait for the point and kill there; False when the run came to its end before."""
        start = time.monotonic()
        journal = self._count(point.kind) if point.kind in JOURNAL else 0
        seen = 0
        while time.monotonic() - start < SESSION_S:
            if point.kind == "moment" and time.monotonic() - start >= point.delay_s:
                break
            changes = watch.changes(0.01)
            if point.kind in FILES:
                seen += sum(FILES[point.kind][0] in path for path in changes)
            elif point.kind in JOURNAL and any("run.db" in path for path in changes):
                seen = self._count(point.kind) - journal
            if seen >= point.nth > 0:
                time.sleep(point.delay_s)
                break
            if not changes and process.poll() is not None and self._pid() is None:
                assert process.returncode == 0, self.victim.said()
                return False
        living = process.poll() is None
        process.kill()
        process.wait()
        assert living or process.returncode == 0, self.victim.said()
        return self._kill_detached() or living

    def _kill_detached(self) -> bool:
        """Also whoever runs the run now in a process of its own."""
        killed = False
        deadline = time.monotonic() + PATIENCE_S
        while pids := runners(self.victim):
            assert time.monotonic() < deadline
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed = True
            time.sleep(0.02)
        return killed

    def _pid(self) -> int | None:
        run = self._run()
        return None if run is None else live_process(RunFolder(run))

    def _count(self, kind: str) -> int:
        run = self._run()
        try:
            return 0 if run is None else len(events(run, kind))
        except Exception:  # the store is just being made
            return 0

    def _look(self, killed: bool) -> None:
        """At the dead run: it can be read, and nothing acknowledged is missing."""
        if killed:
            self.snapshots.append(self.victim.snapshot())
        self._compare_budget()
        verb = self.rng.choice(
            (["status"], ["attempts"], ["report"], ["runs"], ["graph"], ["memory", "log", "latest"],
             ["heartbeat", "log"])
        )  # fmt: skip
        asked = self.victim.ask(*verb)
        assert asked.returncode == 0, (verb, asked.stderr)

    def _compare_budget(self) -> None:
        """What was added to the budget and acknowledged is in it, once."""
        saved = read_saved(RunFolder(self.victim.run).config).budget.evaluations
        least = self._budget + self.commander.added
        assert saved is not None
        assert least <= saved <= least + self.commander.perhaps, (saved, least)
        self._budget, self.commander.added, self.commander.perhaps = saved, 0, 0

    def _check_acknowledged(self) -> None:
        check_acknowledged(self.victim)
        agents = len(query(self.victim.run, "SELECT agent FROM team WHERE retired_at IS NULL"))
        rows = query(self.victim.run, "SELECT text FROM interventions WHERE rule = 'user'")
        heard = Counter(str(row["text"]).partition("\n")[2] for row in rows)
        for text in self.commander.told:
            assert heard.pop(text) == agents, "what was told is there once for each"
        for text, count in heard.items():
            assert text in self.commander.unheard
            assert count <= agents, "told twice"

    def _check_leftovers(self) -> None:
        runs = self.victim.folder / "runs"
        unowned = list(self.victim.temporary.glob("harness-sandbox-*"))
        for folder in unowned:  # those without an owner's record are removed when they are old
            os.utime(folder, (0, 0))
        # A kill between the end of a run and the removal of its scratch files leaves them.
        if unowned or list(runs.glob(".*")) or list(self.victim.run.glob("scratch/*")):
            assert self.victim.ask("clean").returncode == 0
            assert not list(runs.glob(".*"))
        deadline = time.monotonic() + LEFTOVERS_S
        while found := leftovers(self.victim):
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        if self.kind == "docker":
            client = connect(timeout_s=20)
            try:
                label = f"harness.run={self.victim.run.name}"
                left = client.containers.list(all=True, filters={"label": label})
                assert not left, "a container is left"
            finally:
                client.close()


def usable(kind: str) -> str:
    """The kind of victim, or plain processes where the machine has no such sandbox."""
    problems = {
        "docker": (docker_problem, "HARNESS_REQUIRE_DOCKER"),
        "bubblewrap": (bubblewrap_problem, "REQUIRE_BUBBLEWRAP"),
    }
    if kind not in problems:
        return kind
    find_problem, variable = problems[kind]
    problem = find_problem()
    if problem is None:
        return kind
    if os.environ.get(variable) == "1":
        raise SystemExit(f"error: {kind}: {problem}")
    print(f"{kind}: {problem}; plain processes instead", flush=True)
    return "process"


def fuzz(kind: str, seed: str, points: int, folder: Path) -> str | None:
    """One victim; returns what is wrong, with where it was killed."""
    begun = time.monotonic()
    folder.mkdir(mode=0o755)
    with contextlib.ExitStack() as stack:
        environment: dict[str, str] = {}
        if kind == "llm":
            endpoint = stack.enter_context(ScriptedEndpoint(stamping()))
            environment = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "key"}
        victim = Fuzz(Victim(folder, environment), kind, random.Random(seed))
        try:
            victim.all(points)
        except Exception:
            struck = "".join(f"\n  {each}" for each in [*victim.struck, victim.trying])
            return f"{seed} ({kind}), killed at{struck}\n{traceback.format_exc()}"
        finally:
            victim.end()
        what = f"{points} kills, {victim.victim.snapshot().events} events"
        print(f"ok {seed} ({kind}): {what}, {time.monotonic() - begun:.0f} s", flush=True)
    return None


def main() -> int:
    """Fuzz as many victims as the points need, `--workers` at a time."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--points", type=int, default=204)
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="only the victim of this number")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.points} points", flush=True)
    begun = time.monotonic()
    kinds = [usable(kind) for kind in KINDS]
    numbers = range(-(-arguments.points // POINTS))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder.chmod(0o755)
    wrong = 0
    with ThreadPoolExecutor(arguments.workers) as pool:
        victims = [
            pool.submit(fuzz, kinds[number % len(kinds)], f"{arguments.seed}-{number}",
                        min(POINTS, arguments.points - number * POINTS), folder / str(number))
            for number in numbers
            if arguments.only in (None, number)
        ]  # fmt: skip
        for number, victim in enumerate(victims):
            if (problem := victim.result()) is not None:
                wrong += 1
                print(f"FAILED {problem}", flush=True)
            else:
                shutil.rmtree(folder / str(arguments.only or number))
    said = f"{arguments.points} points of {len(victims)} runs, {wrong} failed"
    print(f"{said}, {time.monotonic() - begun:.0f} s", flush=True)
    if wrong:
        print(f"left to look at in {folder}; again: make fuzz FUZZ_SEED={arguments.seed}"
              f" FUZZ_POINTS={arguments.points}", flush=True)  # fmt: skip
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
