"""Model steps for training: JSON Lines of prompt, completion and reward."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.attempt import Attempt
from harness.run.export.jsonl_format import write_lines
from harness.run.export.programs import program_text
from harness.run.export.source import Source, cleaned
from harness.run.export.trace import Led, read_trace

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SftCounts:
    """What was written, and answers that were not."""

    steps: int
    diffs: int
    left_out: int


def write_sft(source: Source, path: Path) -> SftCounts:
    """Write a line a model step, and one for each attempt that no such step led to."""
    trace = read_trace(source)
    made = {led.attempt.id for led in trace.steps if led.attempt is not None}
    others = [a for a in source.view.attempts if a.parents and a.id not in made]

    def lines() -> Iterator[Mapping[str, Any]]:
        yield from (cleaned(_of_step(source, led)) for led in trace.steps)
        yield from (cleaned(_of_attempt(source, attempt)) for attempt in others)

    write_lines(lines(), path)
    return SftCounts(len(trace.steps), len(others), trace.left_out)


def _of_step(source: Source, led: Led) -> Line:
    step, issued = led.step, led.issued
    return {
        "prompt": step.prompt,
        "completion": [step.completion],
        **_result(source, led.attempt),
        "kind": "step",
        "run": source.view.folder.id,
        "task": source.view.task,
        "agent": led.agent,
        "directive": issued.directive.number if issued is not None else None,
        "operator": issued.directive.operator.value if issued is not None else None,
        "model": issued.model if issued is not None else None,
        "turn": step.turn,
        "stage": step.stage,
        "reasoning": step.reasoning,
        "finish_reason": step.finish_reason,
    }


def _of_attempt(source: Source, attempt: Attempt) -> Line:
    parent = source.parent(attempt)
    assert parent is not None, "the seed is left out"
    issued = source.issued.get(attempt.directive) if attempt.directive is not None else None
    asked = f"{attempt.operator.value}: {issued.directive.reason if issued else attempt.title}"
    program = program_text(source.repository.files(parent.tree))
    change = source.repository.diff(parent.tree, attempt.tree)
    return {
        "prompt": [{"role": "user", "content": f"{asked}\n\n{program}"}],
        "completion": [{"role": "assistant", "content": change}],
        **_result(source, attempt),
        "kind": "diff",
        "run": source.view.folder.id,
        "task": source.view.task,
        "agent": attempt.agent,
        "directive": attempt.directive,
        "operator": attempt.operator.value,
        "model": None,
        "turn": None,
        "stage": None,
        "reasoning": None,
        "finish_reason": None,
    }


def _result(source: Source, attempt: Attempt | None) -> Line:
    """The reward and what it comes from; all null for a step that led to no attempt."""
    if attempt is None:
        return dict.fromkeys(("reward", "attempt", "status", "score", "parent", "parent_score"))
    parent = source.parent(attempt)
    return {
        "reward": source.gain(attempt),
        "attempt": attempt.id,
        "status": attempt.status.value,
        "score": attempt.score,
        "parent": parent.id if parent is not None else None,
        "parent_score": parent.score if parent is not None else None,
    }
