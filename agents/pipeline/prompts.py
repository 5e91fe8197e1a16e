"""What the `pipeline` agent's model is asked. The words are in the templates `pipeline_*.md.j2`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.agents.base import AgentContext, Assignment
from harness.agents.pipeline.files import Files, difference, readable
from harness.agents.pipeline.state import State
from harness.agents.prompts import (
    budget_left,
    describe,
    feedback,
    scale,
    standing,
    teammates,
)
from harness.agents.prompts.templates import render
from harness.agents.text import fence, one_line
from harness.attempt import Attempt, Status, better
from harness.memory.base import Recalled
from harness.memory.render import fenced
from harness.search.graph import AttemptGraph

_CHARACTERS_PER_TOKEN = 3
_PROMPT_SHARE = 0.6
_MOST_CHARACTERS = 90_000
_FINDINGS_CHARACTERS = 8_000
_KNOWLEDGE_CHARACTERS = 12_000
_READ_TIMEOUT_S = 30.0
_READ_KNOWLEDGE = """
cd "$1" || exit 1
find . -type f | sort | head -n 20 | while IFS= read -r file; do
    grep -Iq . "$file" || continue
    echo "### $file"
    head -c 6000 "$file"
    echo
done
""".strip()
_LEAST_CHARACTERS = 2_000
_GOOD = frozenset({"improved"})
_UNMEASURED = frozenset({"", "equal"})


@dataclass(frozen=True, slots=True)
class Desk:
    """What lies before an agent while it works on a directive."""

    context: AgentContext
    assignment: Assignment
    base: Files
    unreadable: Sequence[str] = ()
    """Files of the base that are not text."""
    references: Sequence[tuple[Attempt, Files]] = ()
    shrunk: int = 0
    """How often its room was halved, because a question was too long for the model."""

    def files(self, state: State) -> Files:
        """The base's files with the changes so far."""
        return {**self.base, **state["files"]}

    def difference(self, state: State) -> str:
        """Unified diff from the base, quoted."""
        text = difference(self.base, state["files"])
        return fence(text or "(none)", "diff", self.room // 2)

    @property
    def room(self) -> int:
        """Characters of a prompt that files may take, by the model's window."""
        model = self.context.model
        window = model.context_tokens * _CHARACTERS_PER_TOKEN
        answer = min(model.max_output_tokens * _CHARACTERS_PER_TOKEN, window // 2)
        share = int((window - answer) * _PROMPT_SHARE)
        return max(_LEAST_CHARACTERS, min(share, _MOST_CHARACTERS) >> self.shrunk)

    def ask(self, template: str, **values: Any) -> str:
        """A prompt from a template, with what all of them may show."""
        directive = self.assignment.directive
        common: dict[str, Any] = {
            "number": directive.number,
            "operator": directive.operator.value,
            "reason": one_line(directive.reason, limit=400).rstrip("."),
        }
        return render(self.context.prompts, template, **(common | values))

    def situation(self, state: State) -> dict[str, Any]:
        """What a plan starts from."""
        base = self.assignment.base
        return {
            "base": {
                "id": base.id,
                "summary": describe(base),
                "feedback": feedback(base.verdict),
            },
            "files": self._shown(self.base, (), self._share(0.5), self.unreadable),
            "references": self.shown_references(),
            "findings": fence(
                "\n".join(f"- {each}" for each in state["findings"]), "findings", 6000
            )
            if state["findings"]
            else "",
            "messages": state["messages"],
            "team": teammates(self.context.team(), self.context.agent),
            "scale": scale(self.context.task, self.context.graph),
            "standing": standing(self.context.graph),
            "budget": budget_left(self.context.budget()),
        }

    def _findings(self, state: State) -> str:
        lines = "\n".join(f"- {each}" for each in state["findings"])
        return fence(lines, "findings", _FINDINGS_CHARACTERS) if lines else ""

    def work(self, state: State) -> dict[str, Any]:
        """What coding starts from."""
        first = [path for path, _ in state["plan"]["files"]] + list(state["files"])
        return {
            "plan": state["plan"]["text"],
            "problem": state["problem"],
            "files": self._shown(self.files(state), first, self._share(0.6), self.unreadable),
            "references": self.shown_references(),
        }

    def shows_whole(self, state: State, paths: Iterable[str]) -> bool:
        """Whether coding sees all of these files: who does not must not write them anew."""
        files = self.files(state)
        return sum(len(files.get(path, "")) for path in paths) <= self._share(0.6)

    def shown_references(self) -> list[dict[str, Any]]:
        """The references with their files."""
        share = self._share(0.3) // max(1, len(self.references))
        return [
            {
                "id": attempt.id,
                "summary": describe(attempt),
                "files": self._shown(files, (), share),
            }
            for attempt, files in self.references
        ]

    def _share(self, share: float) -> int:
        return int(self.room * (share if self.references else 0.9))

    def _shown(
        self,
        files: Mapping[str, str],
        first: Iterable[str],
        room: int,
        unreadable: Sequence[str] = (),
    ) -> str:
        """Files in fences, those of `first` before the others, as many as there is room for."""
        order = list(dict.fromkeys([*(path for path in first if path in files), *files]))
        shown: list[str] = []
        hidden = [f"{path} (not text)" for path in unreadable]
        for path in order:
            content = files[path]
            if len(content) > room and shown:
                hidden.append(f"{path} ({len(content)} characters)")
                continue
            name = one_line(path, limit=200)
            body = fence(content.removesuffix("\n"), name, room)
            shown.append(f"### {name}\n\n{body}")
            room -= min(len(content), room)
        if hidden:
            shown.append(f"Not shown: {', '.join(hidden[:100])}")
        return "\n\n".join(shown) or "(no files)"


async def open_desk(context: AgentContext, assignment: Assignment) -> Desk:
    """The desk for an assignment: its base's and its references' files."""
    base, unreadable = readable(await context.read_attempt(assignment.base.id))
    references: list[tuple[Attempt, Files]] = []
    for reference in assignment.references:
        files, _ = readable(await context.read_attempt(reference.id))
        references.append((reference, {p: c for p, c in files.items() if base.get(p) != c}))
    return Desk(context, assignment, base, unreadable, references)


async def read_knowledge(context: AgentContext) -> str:
    """The beginnings of the files that the user gives to agents: this model cannot open them."""
    folder = context.task.knowledge
    if folder is None:
        return ""
    result = await context.sandbox.exec(
        ["sh", "-c", _READ_KNOWLEDGE, "sh", folder], timeout_s=_READ_TIMEOUT_S
    )
    text = result.text().strip()
    return fence(text, "knowledge", _KNOWLEDGE_CHARACTERS) if result.ok and text else ""


def system(context: AgentContext, knowledge: str) -> str:
    """The same first message for every question: endpoints cache it."""
    room = context.model.context_tokens * _CHARACTERS_PER_TOKEN // 8
    return render(
        context.prompts,
        "pipeline_system",
        agent=context.agent,
        role=context.role,
        task=context.task,
        knowledge=knowledge if len(knowledge) <= room else "",
    )


def sorted_records(records: Sequence[Recalled], desk: Desk) -> dict[str, str]:
    """Records as quoted text, by what came of them; empty when there is nothing to tell."""
    kinds: dict[str, list[Recalled]] = {"successes": [], "failures": [], "others": []}
    for each in {each.record.id: each for each in records}.values():
        outcome = each.record.outcome
        kind = "successes" if outcome in _GOOD else "failures"
        kinds["others" if outcome in _UNMEASURED else kind].append(each)
    room = min(6_000, desk.room // 6)
    task = desk.context.task.name
    return {
        kind: fenced(found, task=task, max_chars=room) for kind, found in kinds.items() if found
    }


def outcome(attempt: Attempt, graph: AttemptGraph) -> str:
    """What came of an attempt against its base, in one line."""
    if attempt.status is Status.DUPLICATE:
        return f"attempt {attempt.id}: the same files as attempt {attempt.duplicate_of}"
    if attempt.score is None:
        return f"attempt {attempt.id}: {attempt.status.value}"
    result = f"attempt {attempt.id}: score {attempt.score:.10g}"
    base = graph[attempt.parents[0]] if attempt.parents else None
    if base is None or base.score is None:
        return result
    if attempt.score == base.score:
        word = "equal to"
    else:
        good = better(graph.direction, attempt.score, base.score)
        word = "better than" if good else "worse than"
    return f"{result}, {word} its base {base.id} ({base.score:.10g})"
