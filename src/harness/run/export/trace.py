"""The model steps of a run, with the directives they belong to and the attempts they led to."""

from dataclasses import dataclass, field

from harness.attempt import Attempt
from harness.run.export.source import Issued, Source
from harness.run.export.steps import Step, read_steps
from harness.run.transcripts import Transcript, agents_of


@dataclass(frozen=True, slots=True)
class Led:
    """A step with what it belongs to."""

    agent: str
    step: Step
    issued: Issued | None
    attempt: Attempt | None


@dataclass(slots=True)
class Trace:
    """The model steps of a run; answers whose prompts are not known are counted only."""

    steps: list[Led] = field(default_factory=list[Led])
    left_out: int = 0


def read_trace(source: Source) -> Trace:
    """The model steps of all agents, agent by agent."""
    trace = Trace()
    folder = source.view.folder
    for agent in agents_of(folder):
        found = read_steps(Transcript(folder.transcripts / f"{agent}.jsonl").read())
        trace.left_out += found.left_out
        for step in found.found:
            issued = source.open_at(agent, step.at)
            attempt = source.led_to(issued, step.at) if issued is not None else None
            trace.steps.append(Led(agent, step, issued, attempt))
    return trace
