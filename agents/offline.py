"""An agent without a model: mutation, tuning and recombination of the literals in the code.

It is a baseline, and the way to try, test and measure a whole run without a key. It doesn't read
the task, can't write an algorithm, and knows nothing but which changes paid, in this run and in
earlier ones that the memory tells of: it perturbs numbers and tables of numbers in the base
attempt's files, goes on along changes that helped, goes back part of the way on those that failed,
and combines attempts. On tasks whose solution is a table of numbers that is a reasonable evolution
strategy; anywhere else expect little.
"""

from collections import OrderedDict
from collections.abc import Mapping

from harness.agents.adaptation import Lesson, gain_of, lessons_of, scored_ancestor
from harness.agents.base import AgentConfig, AgentContext, Assignment
from harness.agents.edits import Program
from harness.agents.mutation import Model, parse, remember
from harness.agents.restricted import restricted
from harness.agents.tactics import Donor, Situation, propose
from harness.attempt import Attempt, Status
from harness.errors import HarnessError, SubmissionRefusedError
from harness.ids import AttemptId
from harness.memory.base import RecordKind
from harness.tasks.editable import Editable

FRUITLESS = 150
"""Directives in a row without an evaluation before the agent gives up. More than the tries that a
policy gives to its drafts (`progressive`: four for each of 30 branches): others come after them."""
CACHED_PROGRAMS = 48
LESSONS = 20
LESSONS_QUERY = "changes of the kind: attempts in runs that improved, steps that paid, median gain"


class OfflineAgent:
    """One change and one submission per directive, from the graph and the directive's numbers."""

    def __init__(self, config: AgentConfig) -> None:
        self._programs: OrderedDict[AttemptId, Program] = OrderedDict()
        self._fruitless = 0
        self._lessons: tuple[Lesson, ...] = ()

    async def run(self, context: AgentContext) -> None:
        """Work until the run is over.

        Raises:
            HarnessError: There is nothing to change, or for long nothing new to try.
        """
        self._lessons = await _lessons(context)
        assignment = context.current or await context.assignment()
        while assignment is not None:
            await self._carry_out(context, assignment)
            assignment = await context.assignment()

    async def _carry_out(self, context: AgentContext, assignment: Assignment) -> None:
        directive = assignment.directive
        context.say(f"{directive.operator} {directive.base}")
        try:
            proposal = propose(await self._situation(context, assignment))
        except HarnessError as error:
            context.say("nothing to change")
            context.log({"directive": directive.number, "error": str(error)})
            raise
        if proposal is None:
            self._count_fruitless(fruitless=True, last=f"no new change of attempt {directive.base}")
            return
        for path, model in sorted(proposal.files.items()):
            if context.editable is None:
                remember(path, model)
            await context.sandbox.write_file(path, model.text)
        record = {"title": proposal.title, "detail": dict(proposal.detail)}
        context.log({"directive": directive.number, **record})
        try:
            submitted = await context.submit(
                proposal.title, key=f"{directive.number}:0", detail=proposal.detail
            )
        except SubmissionRefusedError as error:
            context.log({"directive": directive.number, "refused": str(error)})
            self._count_fruitless(fruitless=True, last=str(error))
        else:
            duplicate = submitted.attempt.status is Status.DUPLICATE
            self._count_fruitless(fruitless=duplicate, last="the result was scored before")

    def _count_fruitless(self, *, fruitless: bool, last: str) -> None:
        """Give up instead of asking for directives for ever: these cost no budget."""
        self._fruitless = self._fruitless + 1 if fruitless else 0
        if self._fruitless >= FRUITLESS:
            raise HarnessError(
                f"{FRUITLESS} directives in a row led the offline agent to no evaluation "
                f"(the last: {last})"
            )

    async def _situation(self, context: AgentContext, assignment: Assignment) -> Situation:
        base = assignment.base
        program = await self._program(context, base.id)
        donors = [await self._donor(context, reference) for reference in assignment.references]
        return Situation(
            graph=context.graph,
            operator=assignment.directive.operator,
            base=base,
            program=program,
            parent=await self._ancestor(context, base),
            donors=donors,
            rng=context.rng(),
            lessons=self._lessons,
        )

    async def _donor(self, context: AgentContext, reference: Attempt) -> Donor:
        program = await self._program(context, reference.id)
        improves = gain_of(context.graph, reference) > 0
        return Donor(program, await self._ancestor(context, reference) if improves else None)

    async def _ancestor(self, context: AgentContext, attempt: Attempt) -> Program | None:
        ancestor = scored_ancestor(context.graph, attempt)
        return await self._program(context, ancestor.id) if ancestor is not None else None

    async def _program(self, context: AgentContext, attempt: AttemptId) -> Program:
        """Models of the files to change: the Python ones if any holds a number, else all text."""
        known = self._programs.get(attempt)
        if known is not None:
            self._programs.move_to_end(attempt)
            return known
        files = await context.read_attempt(attempt)
        editable = context.editable
        program = _models({p: d for p, d in files.items() if p.endswith(".py")}, editable)
        if not any(model.numbers for model in program.values()):
            text = _models({p: d for p, d in files.items() if not p.endswith(".py")}, editable)
            if any(model.numbers for model in text.values()):
                program = text
        self._programs[attempt] = program
        if len(self._programs) > CACHED_PROGRAMS:
            self._programs.popitem(last=False)
        return program


async def _lessons(context: AgentContext) -> tuple[Lesson, ...]:
    """What earlier runs of the task found out about kinds of change, places and steps."""
    found = await context.recall(
        LESSONS_QUERY, purpose="lessons", limit=LESSONS, kinds=(RecordKind.INSIGHT,)
    )
    lessons = lessons_of(each.record for each in found)
    if lessons:
        context.log({"lessons": len(lessons), "insights": [each.record.id for each in found]})
    return lessons


def _models(files: Mapping[str, bytes], editable: Editable | None) -> Program:
    """Models of the files that may be changed, of no more than may be."""
    models: dict[str, Model] = {}
    for path, data in sorted(files.items()):
        spans = None if editable is None else editable.spans(path, data)
        model = parse(path, data) if spans is None or spans else None
        if model is not None:
            models[path] = restricted(model, spans)
    return models
