"""CPU time of asking the built-in rules about a team: `python benchmarks/heartbeats.py`.

After each verdict the rules are asked about the team and its author, once a second about everybody.
"""

import time

from harness.agents.heartbeats.base import AgentView, AttemptView, TeamView
from harness.agents.heartbeats.rules import default_rules, evaluate_rules
from harness.agents.heartbeats.triggers import NEVER

ROUNDS = 300


def team(agents: int) -> TeamView:
    """A team in which nothing is due: what rules see nearly always."""
    recent = tuple(
        AttemptView(
            str(number), f"agent-{number % agents + 1}", "improve", "scored", 1.0, "a title", "0",
            f"{number:040x}", float(number),
        )
        for number in range(256)
    )  # fmt: skip
    views = tuple(
        AgentView(f"agent-{number + 1}", 4, 4, 1.0, "1", 1.0, "a title", recent=recent[:64])
        for number in range(agents)
    )
    return TeamView(19, 2.0, "2", "agent-1", views, 3, recent=recent, count=agents)


def main() -> None:
    """Print one line a team's size."""
    rules = default_rules()
    print(f"{'agents':>6}  {'a verdict, ms':>13}  {'a second, ms':>12}")
    for agents in (1, 4, 16, 64):
        seen = team(agents)
        marks = {("reflect", "agent-1"): NEVER}
        times: list[float] = []
        for only in (seen.agents[:1], None):
            start = time.process_time()
            for _ in range(ROUNDS):
                evaluate_rules(rules, seen, marks, time.time(), only=only)
            times.append((time.process_time() - start) / ROUNDS * 1000)
        print(f"{agents:>6}  {times[0]:>13.3f}  {times[1]:>12.3f}")


if __name__ == "__main__":
    main()
