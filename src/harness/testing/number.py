"""A task as small as can be, for agents in tests: make the number in a file larger."""

from collections.abc import Callable, Mapping

from harness.agents.base import TaskView
from harness.attempt import Status, Verdict

Score = Callable[[Mapping[str, bytes]], Verdict]
"""Stands in for an evaluator: the submitted files to a verdict."""

DEFAULT_TASK = TaskView(
    name="number",
    description="Make the number in `x.txt` larger.",
    direction="maximize",
    baseline=1.0,
    best_known=100.0,
    kind="answer",
    produce=("cat", "x.txt"),
    outputs=("x.txt",),
    timeout_s=10.0,
    submission=("**",),
)


def number_score(files: Mapping[str, bytes]) -> Verdict:
    """The score of `DEFAULT_TASK`: the number in `x.txt`; invalid without one."""
    try:
        return Verdict(Status.SCORED, float(files["x.txt"]))
    except (KeyError, ValueError) as error:
        return Verdict(Status.INVALID, feedback=f"x.txt holds no number: {error}")
