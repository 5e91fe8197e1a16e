"""Journal entries of the test tool's context, and what heartbeats see of it."""

from collections.abc import Mapping
from typing import Any

from harness.agents.heartbeats.base import AgentView, TeamView
from harness.attempt import Attempt, Operator, Status, Verdict, better
from harness.ids import AgentId, AttemptId, CommitHash, TreeHash
from harness.search.base import Directive
from harness.search.graph import AttemptGraph


def encode(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON; stages and timings are left out."""
    return {
        "status": verdict.status.value,
        "score": verdict.score,
        "metrics": dict(verdict.metrics),
        "feedback": verdict.feedback,
    }


def directive_of(entry: Mapping[str, Any]) -> Directive:
    """The directive of a journal entry."""
    return Directive(
        number=entry["number"],
        operator=Operator(entry["operator"]),
        base=AttemptId(entry["base"]),
        references=tuple(entry["references"]),
        reason=entry["reason"],
    )


def attempt_of(entry: Mapping[str, Any]) -> tuple[Attempt, Verdict]:
    """The attempt of a journal entry, and its verdict: for a duplicate, the first one's."""
    said = entry["verdict"]
    status = Status(said["status"])
    verdict = Verdict(status, said["score"], said["metrics"], said["feedback"])
    duplicate = entry["duplicate_of"] is not None
    attempt = Attempt(
        id=AttemptId(entry["id"]),
        commit=CommitHash(entry["commit"]),
        tree=TreeHash(entry["tree"]),
        agent=AgentId(entry["agent"]),
        operator=Operator(entry["operator"]),
        parents=tuple(entry["parents"]),
        references=tuple(entry["references"]),
        title=entry["title"],
        status=Status.DUPLICATE if duplicate else status,
        created_at=entry["created_at"],
        evaluated_at=entry["created_at"],
        verdict=None if duplicate else verdict,
        duplicate_of=entry["duplicate_of"],
        directive=entry["directive"],
        detail=entry["detail"],
    )
    return attempt, verdict


def views(graph: AttemptGraph, agent: AgentId) -> TeamView:
    """What heartbeat rules see of an agent that is alone in its team."""
    own = [a for a in graph if a.agent == agent and a.status is not Status.DUPLICATE]
    best: Attempt | None = None
    since = 0
    for attempt in own:
        score = attempt.score
        before = best.score if best is not None else None
        if score is not None and (before is None or better(graph.direction, score, before)):
            best, since = attempt, 0
        else:
            since += 1
    view = AgentView(
        agent=agent,
        evaluations=len(own),
        since_improvement=since,
        best_score=best.score if best else None,
        best_attempt=best.id if best else None,
        last_score=own[-1].score if own else None,
        last_title=own[-1].title if own else "",
    )
    top = graph.best
    return TeamView(
        evaluations=len(own),
        best_score=top.score if top else None,
        best_attempt=top.id if top else None,
        best_agent=top.agent if top else None,
        agents=(view,),
        since_improvement=since,
        minimize=graph.direction == "minimize",
    )
