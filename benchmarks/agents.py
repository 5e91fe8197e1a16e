"""How much of the ideal throughput many `llm` agents on one machine reach, and what they weigh.

    python -m benchmarks.agents [--agents 1 4 16 64] [--sandboxes process docker] [--seconds 45]

A model that answers after 1 s is called four times for each attempt (write, read, submit, end),
over HTTP; the evaluator takes 0.5 s and has a slot for every agent. Ideal is
agents / (4 x 1 s + 0.5 s). Counted is what is judged within `--seconds`, from two ideal cycles
after the last agent's first attempt on: by then all sandboxes are up and the endpoint's slow start
is over. Prints a Markdown table; each row is measured in a process of its own, the model in
another. Memory is the proportional set size (PSS) of the launcher and all that it started, at its
largest; Docker's containers belong to the daemon and are not in it.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LATENCY_S = 1.0
CALLS = 4
EVALUATION_S = 0.5
CYCLE_S = CALLS * LATENCY_S + EVALUATION_S
PATIENCE_S = 300.0

TASK = f"""\
name: number
description: Any number is a score.
direction: maximize
submission: {{include: [value.json]}}
evaluator:
  produce: [sh, -c, "cp value.json out.json; exec sleep {EVALUATION_S}"]
  outputs: [out.json]
  judge: judge.py:judge
"""


async def measure(folder: Path, sandbox: str, agents: int, seconds: float) -> dict[str, Any]:
    """One run; `OPENAI_BASE_URL` names the model."""
    from benchmarks.overhead import JUDGE

    from harness.attempt import Attempt
    from harness.clock import SystemClock
    from harness.run.compose import open_run
    from harness.run.config import load_config
    from harness.run.prepare import create_folder
    from harness.tasks.loader import load_task

    for part in ("seed", "evaluator"):
        (folder / "task" / part).mkdir(parents=True)
    (folder / "task" / "task.yaml").write_text(TASK, encoding="utf-8")
    (folder / "task" / "seed" / "value.json").write_text("0", encoding="utf-8")
    (folder / "task" / "evaluator" / "judge.py").write_text(JUDGE, encoding="utf-8")
    config = load_config(
        {
            "agents": agents,
            "agent.model.name": "latency",
            "budget.hours": 1.0,
            "evaluators.slots": agents,
            "sandbox.provider": sandbox,
            "sandbox.unsafe": True,
            "memory.path": str(folder / "memory"),
            "runs_dir": str(folder / "runs"),
        },
        environment={},
    )
    task, clock = load_task(folder / "task"), SystemClock()
    judged: list[float] = []
    seen: set[str] = set()
    everybody = asyncio.Event()

    def listen(attempt: Attempt) -> None:
        judged.append(time.perf_counter())
        seen.add(attempt.agent)
        if len(seen) == agents + 1:  # the seed's maker is one too
            everybody.set()

    async with open_run(create_folder(task, config, clock), task, config, clock) as run:
        run.core.listeners.append(listen)
        running = asyncio.create_task(run.execute())
        waiting = asyncio.create_task(everybody.wait())
        done, _ = await asyncio.wait(
            {running, waiting}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if waiting not in done:
            raise RuntimeError(f"only {len(seen)} of {agents} agents submitted anything")
        await asyncio.sleep(2 * CYCLE_S)
        start, before = time.perf_counter(), _cpu_s()
        memory = 0.0
        while (elapsed := time.perf_counter() - start) < seconds:
            await asyncio.sleep(min(5.0, seconds - elapsed))
            memory = max(memory, await asyncio.to_thread(_memory_mb))
        end, after = time.perf_counter(), _cpu_s()
        run.stop()
        await running
    count = sum(start <= at < end for at in judged)
    return {
        "sandbox": sandbox,
        "agents": agents,
        "attempts_per_s": count / (end - start),
        "share": count / (end - start) / (agents / CYCLE_S),
        "own_cpu_ms": (after - before) / count * 1e3,
        "memory_mb": memory,
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory_mb() -> float:
    """PSS of this process and its descendants."""
    total, pending = 0, [str(os.getpid())]
    while pending:
        process = Path("/proc") / pending.pop()
        try:
            for line in (process / "smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
            for task in (process / "task").iterdir():
                pending += (task / "children").read_text(encoding="ascii").split()
        except (OSError, ProcessLookupError):
            continue  # it has ended meanwhile
    return total / 1024


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown; memory per agent against the sandbox's row with the fewest."""
    lines = [
        "| sandbox | agents | attempts/s | of ideal | own CPU ms/attempt | MB in all | MB/agent |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = next(each for each in rows if each["sandbox"] == row["sandbox"])
        more = row["agents"] - first["agents"]
        each = f"{(row['memory_mb'] - first['memory_mb']) / more:.1f}" if more else "-"
        lines.append(
            f"| {row['sandbox']} | {row['agents']} | {row['attempts_per_s']:.2f} |"
            f" {row['share']:.2f} | {row['own_cpu_ms']:.0f} | {row['memory_mb']:.0f} | {each} |"
        )
    return "\n".join(lines)


def measured_apart(sandbox: str, agents: int, seconds: float) -> dict[str, Any] | None:
    """A row measured in a process of its own, against a model in another; None when that failed."""
    model = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.model_latency", str(LATENCY_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert model.stdin is not None
    assert model.stdout is not None
    try:
        url = model.stdout.readline().strip()
        command = [sys.executable, "-m", "benchmarks.agents", "--row", "--sandboxes", sandbox]
        command += ["--agents", str(agents), "--seconds", str(seconds)]
        environment = os.environ | {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=False, env=environment
        )
    finally:
        model.stdin.close()
        model.wait()
    if done.returncode != 0:
        print(f"{sandbox}: not measured (exit {done.returncode})", file=sys.stderr)
        return None
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{sandbox}, {agents} agents: {row['share']:.2f} of ideal", file=sys.stderr)
    return row


def main() -> None:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--sandboxes", nargs="+", default=["process", "docker"])
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        with tempfile.TemporaryDirectory() as folder:
            work = measure(Path(folder), options.sandboxes[0], options.agents[0], options.seconds)
            print(json.dumps(asyncio.run(work)))
        return
    rows: list[dict[str, Any]] = []
    for sandbox in options.sandboxes:
        for agents in options.agents:
            row = measured_apart(sandbox, agents, options.seconds)
            if row is None:
                break
            rows.append(row)
    print(table(rows))


if __name__ == "__main__":
    main()
