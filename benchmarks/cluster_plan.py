"""SIMULATION: how many evaluators one run can keep busy, from measured overheads.

    python -m benchmarks.cluster_plan [--evaluators 1 10 100 300 1000] [--seconds 60]
                                      [--overhead-ms 30] [--run-ms 20] [--dispatch-ms 5]

A discrete-event simulation, not a measurement. There is one run process and as many evaluators,
each fed by an agent of its own that answers a verdict with a submission at once. An evaluation
takes `--seconds` on average (exponential) and `--overhead-ms` more on its evaluator (of
`benchmarks.evaluators`). Before and after it, the run process is needed: `--dispatch-ms` to send
it, `--run-ms` to record the verdict (own CPU of an attempt of `benchmarks.overhead`); one at a
time, for it is one process. Prints a Markdown table: evaluations per second, the share of time the
evaluators spend on candidates, how busy the run process is, and how long a finished evaluation
waits for it.
"""

import argparse
import heapq
import random
from typing import NamedTuple


class Plan(NamedTuple):
    """Seconds that each step takes."""

    evaluation: float
    overhead: float
    dispatch: float
    record: float


class Outcome(NamedTuple):
    """Means over the simulated time."""

    per_s: float
    useful: float
    run_busy: float
    wait_s: float


def simulate(evaluators: int, plan: Plan, *, evaluations: int, seed: int = 0) -> Outcome:
    """Let `evaluations` pass through; the first tenth warms up and does not count."""
    rng = random.Random(seed)
    # When each evaluator wants the run process next: at first for its first submission.
    ready = [(rng.uniform(0, plan.evaluation), 0.0) for _ in range(evaluators)]
    heapq.heapify(ready)
    free_at = busy = waited = useful = 0.0
    started = counted = 0
    begin = 0.0
    for number in range(evaluations):
        wanted, worked = heapq.heappop(ready)
        if number == evaluations // 10:
            busy = waited = useful = 0.0
            begin, started = max(free_at, wanted), number
        begins = max(free_at, wanted)
        waited += begins - wanted
        useful += worked
        free_at = begins + plan.record + plan.dispatch
        busy += plan.record + plan.dispatch
        work = rng.expovariate(1 / plan.evaluation)
        heapq.heappush(ready, (free_at + plan.overhead + work, work))
        counted = number + 1 - started
    span = free_at - begin
    return Outcome(counted / span, useful / span / evaluators, busy / span, waited / counted)


def main() -> None:
    """Simulate every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--evaluators", type=int, nargs="+", default=[1, 10, 100, 300, 1000])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0, 600.0])
    parser.add_argument("--overhead-ms", type=float, default=30.0)
    parser.add_argument("--run-ms", type=float, default=20.0)
    parser.add_argument("--dispatch-ms", type=float, default=5.0)
    options = parser.parse_args()
    print(
        "| simulated: evaluators | s/evaluation | evaluations/s | on candidates | run busy | wait |"
    )
    print("|---|---|---|---|---|---|")
    for seconds in options.seconds:
        steps = (options.overhead_ms, options.dispatch_ms, options.run_ms)
        plan = Plan(seconds, *(step / 1e3 for step in steps))
        for evaluators in options.evaluators:
            found = simulate(evaluators, plan, evaluations=max(20_000, 50 * evaluators))
            print(
                f"| {evaluators} | {seconds:g} | {found.per_s:.2f} | {found.useful:.0%} |"
                f" {found.run_busy:.0%} | {found.wait_s:.2f} s |"
            )


if __name__ == "__main__":
    main()
