"""The refined run layout of EvoTrace (arXiv:2605.20086; reader: ZIB-IOL/EvoReplay).

    meta.json, programs.jsonl, iterations.jsonl, iter_scalars.jsonl
    blobs/<first two digits>/<sha256>.txt | .json | .bin

Its fields are filled as its reader takes them; what it has no field for stands beside them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.attempt import NOT_CHARGED, UNFINISHED, Attempt, Status
from harness.ids import AttemptId
from harness.run.export.jsonl_format import write_lines
from harness.run.export.programs import language_of, program_text, text_of
from harness.run.export.source import Source, cleaned
from harness.run.export.trace import Led, read_trace
from harness.run.usage import usage_document
from harness.sandbox.repository import TreeFile
from harness.version import package_version

LAYOUT_VERSION = 1
"""`schema_version` of the layout."""

Line = dict[str, Any]


@dataclass(slots=True)
class Blobs:
    """Contents by their SHA-256, each written once."""

    folder: Path
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def put(self, data: bytes, extension: str) -> str:
        """Write a content; returns its hash."""
        sha = hashlib.sha256(data).hexdigest()
        path = self.folder / sha[:2] / f"{sha}.{extension}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.counts[extension] = self.counts.get(extension, 0) + 1
        return sha

    def text(self, text: str) -> str:
        """Write a text without secrets; returns its hash."""
        return self.put(cleaned(text).encode("utf-8"), "txt")

    def json(self, document: Any) -> str:
        """Write a document without secrets; returns its hash."""
        text = json.dumps(cleaned(document), ensure_ascii=False, allow_nan=False, sort_keys=True)
        return self.put(text.encode("utf-8"), "json")

    def file(self, file: TreeFile) -> str:
        """Write a file of a tree; returns its hash."""
        text = text_of(file)
        return self.put(file.data, "bin") if text is None else self.text(text)


@dataclass(frozen=True, slots=True)
class EvotraceCounts:
    """What was written, and answers of models that are in no prompt."""

    programs: int
    iterations: int
    blobs: int
    left_out: int


def write_evotrace(source: Source, folder: Path) -> EvotraceCounts:
    """Fill an empty folder with the layout."""
    trace = read_trace(source)
    blobs = Blobs(folder / "blobs")
    blobs.folder.mkdir()
    prompts = {
        attempt: blobs.json(_prompts(steps)) for attempt, steps in _by_attempt(trace.steps).items()
    }
    attempts = source.view.attempts
    programs = write_lines(
        (cleaned(_program(source, a, blobs, prompts.get(a.id))) for a in attempts),
        folder / "programs.jsonl",
    )
    iterations = write_lines(
        (cleaned(_iteration(source, a, prompts.get(a.id))) for a in attempts if a.parents),
        folder / "iterations.jsonl",
    )
    write_lines(_scalars(source), folder / "iter_scalars.jsonl")
    counts = EvotraceCounts(programs, iterations, sum(blobs.counts.values()), trace.left_out)
    meta = json.dumps(cleaned(_meta(source, counts)), ensure_ascii=False, indent=2)
    (folder / "meta.json").write_text(meta + "\n", encoding="utf-8")
    return counts


def _meta(source: Source, counts: EvotraceCounts) -> Line:
    view = source.view
    best = view.best
    return {
        "backend": "harness",
        "source": view.folder.id,
        "refined_at": None,
        "counts": {
            "programs": counts.programs,
            "iterations": counts.iterations,
            "blobs": counts.blobs,
        },
        "schema_version": LAYOUT_VERSION,
        "harness": {
            "version": view.meta.get("version"),
            "exported_by": package_version(),
            "task": view.task,
            "task_hash": view.meta.get("task_hash"),
            "direction": view.direction,
            "state": view.state,
            "reason": view.reason,
            "seed": view.config.seed,
            "agents": view.config.agents,
            "budget": view.config.budget.model_dump(),
            "evaluations": view.evaluations,
            "best_program_id": best.id if best is not None else None,
            "tokens": view.tokens,
            "cost_usd": view.cost_usd,
            "wall_s": view.wall_s,
        },
    }


def _program(source: Source, attempt: Attempt, blobs: Blobs, prompts: str | None) -> Line:
    files = source.repository.files(attempt.tree)
    verdict = attempt.verdict
    return {
        "id": attempt.id,
        "language": language_of(files),
        "metrics": _metrics(source, attempt),
        "iteration_found": int(attempt.id),
        "parent_id": attempt.parents[0] if attempt.parents else None,
        "other_context_ids": list(attempt.references),
        "parent_info": None,
        "context_info": None,
        "timestamp": attempt.created_at,
        "metadata": {
            "title": attempt.title,
            "directive": attempt.directive,
            "detail": dict(attempt.detail),
            "commit": attempt.commit,
            "tree": attempt.tree,
            "duplicate_of": attempt.duplicate_of,
        },
        "generation": source.depths[attempt.id],
        "status": _status(attempt.status),
        "source": "attempts.git",
        "solution_sha256": blobs.text(program_text(files)),
        "prompts_sha256": prompts,
        "artifacts": {"feedback": verdict.feedback} if verdict and verdict.feedback else None,
        "harness_status": attempt.status.value,
        "score": attempt.score,
        "operator": attempt.operator.value,
        "agent": attempt.agent,
        "files": [
            {"path": path, "sha256": blobs.file(file), "executable": file.executable}
            for path, file in files.items()
        ],
    }


def _metrics(source: Source, attempt: Attempt) -> Line:
    """The task's metrics, and `combined_score`, of which more is better; empty without a score."""
    if attempt.verdict is None or attempt.score is None:
        return {}
    sign = -1.0 if source.view.minimize else 1.0
    return {**attempt.verdict.metrics, "combined_score": sign * attempt.score}


def _status(status: Status) -> str:
    """`accepted`, `failed` by its own doing, `rejected` without a verdict of its own."""
    if status in UNFINISHED:
        return "pending"
    if status is Status.SCORED:
        return "accepted"
    return "rejected" if status in NOT_CHARGED else "failed"


def _iteration(source: Source, attempt: Attempt, prompts: str | None) -> Line:
    issued = source.issued.get(attempt.directive) if attempt.directive is not None else None
    return {
        "iteration": int(attempt.id),
        "role": "attempt",
        "slot_key": attempt.agent,
        "program_id": attempt.id,
        "value": attempt.score,
        "parent_id": attempt.parents[0],
        "other_context_ids": list(attempt.references),
        "operator": attempt.operator.value,
        "gain": source.gain(attempt),
        "directive": attempt.directive,
        "reason": issued.directive.reason if issued is not None else None,
        "directive_at": issued.created_at if issued is not None else None,
        "submitted_at": attempt.created_at,
        "evaluated_at": attempt.evaluated_at,
        "evaluation_s": attempt.verdict.duration_s if attempt.verdict is not None else None,
        "model": issued.model if issued is not None else None,
        "usage": usage_document(source.usage.get(attempt.id)),
        "prompts_sha256": prompts,
    }


def _scalars(source: Source) -> Iterator[Mapping[str, Any]]:
    """The best program after each iteration, where it is another one."""
    best: Attempt | None = None
    sign = -1.0 if source.view.minimize else 1.0
    for attempt in source.view.attempts:
        if attempt.status is not Status.SCORED or attempt.score is None:
            continue
        if best is None or sign * attempt.score > sign * (best.score or 0.0):
            best = attempt
            yield {"iteration": int(attempt.id), "key": "best_program_id", "value": attempt.id}


def _by_attempt(steps: list[Led]) -> dict[AttemptId, list[Led]]:
    found: dict[AttemptId, list[Led]] = {}
    for led in steps:
        if led.attempt is not None:
            found.setdefault(led.attempt.id, []).append(led)
    return found


def _prompts(steps: list[Led]) -> Line:
    """What was asked and answered for an attempt, by stage; an `llm` agent has one, `llm`.

    `user` is the last message to the model before its first answer; `messages` is the whole
    conversation at the last answer.
    """
    stages: dict[str, list[Led]] = {}
    for led in steps:
        stages.setdefault(led.step.stage or "llm", []).append(led)
    document: Line = {}
    for stage, found in stages.items():
        first, last = found[0].step, found[-1].step
        asked = [m["content"] for m in first.prompt if m["role"] == "user"]
        document[stage] = {
            "system": first.prompt[0]["content"],
            "user": asked[-1] if asked else "",
            "responses": [_response(led.step.completion) for led in found],
            "messages": [*last.prompt, last.completion],
        }
    return document


def _response(message: Mapping[str, Any]) -> str:
    """What a model said; its tool calls as JSON below."""
    calls = [json.dumps(call, ensure_ascii=False) for call in message.get("tool_calls") or ()]
    return "\n".join([str(message.get("content") or ""), *calls]).strip("\n")
