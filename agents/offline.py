"""An agent without a model: mutation, tuning and recombination of the literals in the code.

It is a baseline, and the way to try, test and measure a whole run without a key. It doesn't read
the task, can't write an algorithm, and knows nothing but which of its changes paid: it perturbs
numbers and tables of numbers in the base attempt's files, goes on along changes that helped, goes
back half-way on those that failed, and combines attempts. On tasks whose solution is a table of
numbers that is a reasonable evolution strategy; anywhere else expect little.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from random import Random

from harness.agents.adaptation import FRESH, Experience, digests, gain_of, scored_ancestor
from harness.agents.base import AgentConfig, AgentContext, Assignment
from harness.agents.edits import Change, Program, edit_at_random
from harness.agents.mutation import Model, parse, remember
from harness.agents.recombination import CROSSINGS, repeat, retreat, transplant
from harness.attempt import Attempt, Operator, Status
from harness.errors import HarnessError, SubmissionRefusedError
from harness.ids import AttemptId
from harness.search.graph import AttemptGraph

REPEATS = 3
"""Times an improvement is repeated from one attempt, each time more carefully."""
DRAWS = 40
"""Draws of a change before the agent says that it has no further idea."""
FRUITLESS = 25
"""Submissions in a row without an evaluation before it says so."""
CACHED_PROGRAMS = 48
BOLDNESS: Mapping[Operator, float] = {Operator.EVOLVE: 2.0, Operator.TUNE: 0.3}
REPEAT_PRIOR: Mapping[Operator, float] = {Operator.EVOLVE: 4.0, Operator.TUNE: 3.0}


class OfflineAgent:
    """One change and one submission per directive, from the graph and the directive's numbers."""

    def __init__(self, config: AgentConfig) -> None:
        self._programs: OrderedDict[AttemptId, Program] = OrderedDict()
        self._fruitless = 0

    async def run(self, context: AgentContext) -> None:
        """Work until the run is over.

        Raises:
            HarnessError: There is nothing to change, or nothing new to try.
        """
        assignment = context.current or await context.assignment()
        while assignment is not None:
            await self._carry_out(context, assignment)
            assignment = await context.assignment()

    async def _carry_out(self, context: AgentContext, assignment: Assignment) -> None:
        directive = assignment.directive
        context.say(f"{directive.operator} {directive.base}")
        change, digest = await self._new_change(context, assignment)
        for path, model in sorted(change.files.items()):
            remember(path, model)
            await context.sandbox.write_file(path, model.text)
        detail = {**change.detail, "digest": digest}
        context.log({"directive": directive.number, "title": change.title, "detail": detail})
        try:
            submitted = await context.submit(
                change.title, key=f"{directive.number}:0", detail=detail
            )
        except SubmissionRefusedError as error:
            context.log({"directive": directive.number, "refused": str(error)})
            self._count_fruitless(fruitless=True, last=str(error))
            return
        self._count_fruitless(
            fruitless=submitted.attempt.status is Status.DUPLICATE, last="scored before"
        )

    def _count_fruitless(self, *, fruitless: bool, last: str) -> None:
        self._fruitless = self._fruitless + 1 if fruitless else 0
        if self._fruitless >= FRUITLESS:
            raise HarnessError(
                f"{FRUITLESS} submissions of the offline agent in a row were not evaluated "
                f"(the last: {last})"
            )

    # Choosing a change

    async def _new_change(
        self, context: AgentContext, assignment: Assignment
    ) -> tuple[Change, str]:
        """A change whose result differs from the base and from what has been submitted."""
        rng = context.rng()
        base = await self._program(context, assignment.base.id)
        if not any(m.numbers or m.statements for m in base.values()):
            message = (
                f"attempt {assignment.base.id} has no number and no function body that the offline "
                "agent could change: name a model with --model"
            )
            context.say("nothing to change")
            raise HarnessError(message)
        experience = Experience.of(context.graph)
        seen = digests(context.graph)
        for _ in range(DRAWS):
            change = await self._draw(context, assignment, base, experience, rng)
            if change is None or all(m.text == base[p].text for p, m in change.files.items()):
                continue
            digest = _digest({**base, **change.files})
            if digest not in seen:
                return change, digest
        message = f"no new change of attempt {assignment.base.id} was found in {DRAWS} draws"
        context.say("no new change")
        raise HarnessError(message)

    async def _draw(
        self,
        context: AgentContext,
        assignment: Assignment,
        base: Program,
        experience: Experience,
        rng: Random,
    ) -> Change | None:
        operator = assignment.directive.operator
        if operator is Operator.DEBUG:
            good = scored_ancestor(context.graph, assignment.base)
            if good is not None:
                origin = await self._program(context, good.id)
                return retreat(rng, base, origin) or edit_at_random(rng, origin, experience, 0.5)
        if assignment.references:
            change = await self._recombine(context, assignment, base, experience, rng)
            if change is not None:
                return change
        tries = _repeats(context.graph, assignment.base)
        parent = scored_ancestor(context.graph, assignment.base)
        win = experience.win(gain_of(context.graph, assignment.base))
        if parent is not None and tries < REPEATS and win:
            options = [
                (True, ("repeat",), win * REPEAT_PRIOR.get(operator, 2.0)),
                (False, FRESH, 1.0),
            ]
            if experience.choose(rng, options):
                return repeat(base, await self._program(context, parent.id), tries)
        return edit_at_random(rng, base, experience, BOLDNESS.get(operator, 1.0))

    async def _recombine(
        self,
        context: AgentContext,
        assignment: Assignment,
        base: Program,
        experience: Experience,
        rng: Random,
    ) -> Change | None:
        reference = rng.choice(assignment.references)
        donor = await self._program(context, reference.id)
        origin = scored_ancestor(context.graph, reference)
        weights = [(name, (name,), prior) for _, name, prior in CROSSINGS]
        if origin is not None and gain_of(context.graph, reference) > 0:
            weights.append(("transplant", ("transplant",), 2.0))
        chosen = experience.choose(rng, weights)
        if chosen == "transplant" and origin is not None:
            return transplant(base, donor, await self._program(context, origin.id))
        crossing = next(function for function, name, _ in CROSSINGS if name == chosen)
        return crossing(rng, base, donor)

    async def _program(self, context: AgentContext, attempt: AttemptId) -> Program:
        """Models of the files it may change: Python if any has numbers or bodies, else all text."""
        known = self._programs.get(attempt)
        if known is not None:
            self._programs.move_to_end(attempt)
            return known
        files = await context.read_attempt(attempt)
        program = _models({p: d for p, d in files.items() if p.endswith(".py")})
        if not any(model.numbers for model in program.values()):
            text = _models({p: d for p, d in files.items() if not p.endswith(".py")})
            if any(model.numbers for model in text.values()):
                program = text
        self._programs[attempt] = program
        if len(self._programs) > CACHED_PROGRAMS:
            self._programs.popitem(last=False)
        return program


def _models(files: Mapping[str, bytes]) -> Program:
    parsed = {path: parse(path, data) for path, data in sorted(files.items())}
    return {path: model for path, model in parsed.items() if model is not None}


def _digest(program: Mapping[str, Model]) -> str:
    """Identity of the contents, short since it is recorded with every attempt."""
    content = hashlib.sha256()
    for path, model in sorted(program.items()):
        content.update(f"{path}\0{len(model.text)}\0".encode())
        content.update(model.text)
    return content.hexdigest()[:16]


def _repeats(graph: AttemptGraph, base: Attempt) -> int:
    """How often the way that led to `base` has been gone on from it."""
    return sum(1 for c in graph.children(base.id) if graph[c].detail.get("edit") == "repeat")
