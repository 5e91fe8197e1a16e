"""The harness's own cost of an attempt: an instant proposer and an instant evaluator.

    python -m benchmarks.overhead [--attempts 100] [--agents 1 2 4 8] [--sandboxes process docker]

Prints a Markdown table: attempts per second, wall milliseconds per attempt by phase, CPU
milliseconds per attempt of the launcher (RUSAGE_SELF) and of its descendants (those that live
and those that ended; Docker's containers are the daemon's children and not among them),
submit-to-score, peak memory. Each row is measured in a process of its own.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PHASES = ("select", "recall", "workspace", "snapshot", "evaluate", "record")

TASK = """\
name: instant
description: Any number is a score.
direction: maximize
submission: {include: [value.json]}
evaluator:
  produce: [cp, value.json, out.json]
  outputs: [out.json]
  judge: judge.py:judge
"""
JUDGE = """\
def judge(outputs, private, seed):
    return {"score": float((outputs / "out.json").read_text())}
"""


def make_task(folder: Path) -> None:
    """A task whose candidate copies a number and whose judge reads it."""
    (folder / "seed").mkdir(parents=True)
    (folder / "evaluator").mkdir()
    (folder / "task.yaml").write_text(TASK, encoding="utf-8")
    (folder / "seed" / "value.json").write_text("0", encoding="utf-8")
    (folder / "evaluator" / "judge.py").write_text(JUDGE, encoding="utf-8")


async def measure(folder: Path, sandbox: str, agents: int, attempts: int) -> dict[str, Any]:
    """One run; costs are counted from the seed's verdict to the end of the last attempt."""
    from benchmarks.instant import LATENCIES_S

    from harness.attempt import Attempt
    from harness.clock import SystemClock
    from harness.ids import SEED_ATTEMPT
    from harness.run.compose import open_run
    from harness.run.config import load_config
    from harness.run.prepare import create_folder
    from harness.tasks.loader import load_task

    make_task(folder / "task")
    config = load_config(
        {
            "agents": agents,
            "agent.kind": "benchmarks.instant:InstantAgent",
            "budget.evaluations": attempts + 1,
            "sandbox.provider": sandbox,
            "sandbox.unsafe": True,
            "memory.path": str(folder / "memory"),
            "runs_dir": str(folder / "runs"),
        },
        environment={},
    )
    task, clock = load_task(folder / "task"), SystemClock()
    started: list[tuple[float, float, float]] = []

    def judged(attempt: Attempt) -> None:
        if attempt.id == SEED_ATTEMPT:
            started.append(cpu_now())

    async with open_run(create_folder(task, config, clock), task, config, clock) as run:
        run.core.listeners.append(judged)
        await run.execute()
        ended = cpu_now()
    wall, own, children = (end - start for end, start in zip(ended, started[0], strict=True))
    timings = run.core.timings
    return {
        "sandbox": sandbox,
        "agents": agents,
        "attempts_per_s": attempts / wall,
        "own_cpu_ms": own / attempts * 1e3,
        "children_cpu_ms": children / attempts * 1e3,
        "submit_p50_ms": statistics.median(LATENCIES_S) * 1e3,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **{phase: timings.seconds[phase] / timings.counts[phase] * 1e3 for phase in PHASES},
    }


def cpu_now() -> tuple[float, float, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.perf_counter(),
        own.ru_utime + own.ru_stime,
        children.ru_utime + children.ru_stime + _living_children_s(),
    )


def _living_children_s() -> float:
    """CPU seconds of the descendants that live, and of those that they waited for."""
    ticks, pending = 0, ["self"]
    while pending:
        parent = pending.pop()
        try:
            if parent != "self":
                text = Path(f"/proc/{parent}/stat").read_text(encoding="utf-8", errors="replace")
                # After the name in parentheses; user and system time, own and of those waited for.
                ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
            for task in Path(f"/proc/{parent}/task").iterdir():
                pending += (task / "children").read_text(encoding="ascii").split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return ticks / os.sysconf("SC_CLK_TCK")


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    head = ["sandbox", "agents", "attempts/s", "own CPU", "children CPU", "submit→score p50"]
    lines = ["| " + " | ".join([*head, *PHASES, "peak MB"]) + " |"]
    lines.append("|" + "---|" * (len(head) + len(PHASES) + 1))
    for row in rows:
        cells = [row["sandbox"], str(row["agents"]), f"{row['attempts_per_s']:.1f}"]
        cells += [f"{row[key]:.1f}" for key in ("own_cpu_ms", "children_cpu_ms", "submit_p50_ms")]
        cells += [f"{row[phase]:.1f}" for phase in PHASES]
        lines.append("| " + " | ".join([*cells, f"{row['peak_mb']:.0f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--attempts", type=int, default=100)
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--sandboxes", nargs="+", default=["process", "bubblewrap", "docker"])
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        with tempfile.TemporaryDirectory() as folder:
            work = measure(Path(folder), options.sandboxes[0], options.agents[0], options.attempts)
            print(json.dumps(asyncio.run(work)))
        return
    rows: list[dict[str, Any]] = []
    for sandbox in options.sandboxes:
        for agents in options.agents:
            command = [sys.executable, "-m", "benchmarks.overhead", "--row", "--sandboxes", sandbox]
            command += ["--agents", str(agents), "--attempts", str(options.attempts)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                print(f"{sandbox}: not measured (exit {done.returncode})", file=sys.stderr)
                break
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{sandbox}, {agents} agents: done", file=sys.stderr)
    print("Milliseconds per attempt unless said otherwise.\n\n" + table(rows))


if __name__ == "__main__":
    main()
