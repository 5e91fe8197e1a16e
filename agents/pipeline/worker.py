"""The steps of the `pipeline` agent's graph."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from harness.agents.base import AgentContext, Assignment
from harness.agents.heartbeats.base import Intervention
from harness.agents.pipeline.answers import spoken
from harness.agents.pipeline.check import check
from harness.agents.pipeline.files import placing
from harness.agents.pipeline.modes import choose, repair
from harness.agents.pipeline.parts import AnswerError
from harness.agents.pipeline.prompts import (
    Desk,
    open_desk,
    outcome,
    read_knowledge,
    sorted_records,
    system,
)
from harness.agents.pipeline.stages import STAGES, Stage, UnusableError
from harness.agents.pipeline.state import (
    NO_CODE,
    Message,
    State,
    Update,
    fresh,
    merged,
)
from harness.agents.prompts import verdict_text
from harness.agents.text import clip, one_line
from harness.attempt import Operator, Status
from harness.errors import ContextTooLongError, SubmissionRefusedError

MAX_REPAIRS = 3
"""Times a program that does not run is sent back before the directive ends without it."""

MAX_HALVINGS = 5
"""Times that what a question shows is halved for a model that finds it too long."""

RECALLED = 6
_QUERY_CHARACTERS = 2_000
_ANSWER_CHARACTERS = 20_000
_COMPLAINT_CHARACTERS = 8_000
_REMOVE_TIMEOUT_S = 30.0

Step = Callable[[State], Awaitable[Update]]


class Worker:
    """One agent at work. What must last is in the state; this holds what can be read again."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._desk: Desk | None = None
        self._knowledge: str | None = None
        self._heard = {
            "recall": self._recall,
            "choose": self._choose,
            "check": self._check,
            "submit": self._submit,
        }

    def step(self, name: str) -> Step:
        """The node of this name: its work, then what was said to the agent meanwhile."""
        if name == "assign":
            return self._assign
        if name == "finish":
            return self._finish

        async def step(state: State) -> Update:
            work = self._ask(STAGES[name], state) if name in STAGES else self._heard[name](state)
            return self._hear(state, await work)

        return step

    async def _assign(self, state: Mapping[str, Any]) -> Update:
        """The next directive. `state` is empty at the very first."""
        context = self._context
        context.say("asking for a directive")
        if "directive" not in state:
            self._log("system", await self._system(), "assign")
        findings: list[str] = state.get("findings", [])
        messages: list[str] = [*state.get("messages", [])]
        for intervention in context.interventions():
            findings = [] if intervention.action == "restart" else findings
            messages.append(self._told(intervention))
        assignment = context.current
        # After a kill the open directive may be one that this thread has not begun.
        if assignment is None or assignment.directive.number == state.get("directive"):
            assignment = await context.assignment()
        if assignment is None:
            return {"over": True, "next": "", "findings": findings, "messages": messages}
        self._desk = None
        return fresh(
            assignment.directive.number,
            findings=findings,
            messages=messages,
            misses=state.get("misses", 0),
            # One step back, since this one's files or model may be others.
            shrunk=max(0, state.get("shrunk", 0) - 1),
        )

    def _hear(self, state: State, update: Update) -> Update:
        """What a step changes, with the interventions that came during it."""
        after = merged(state, update)
        for intervention in self._context.interventions():
            after["messages"] = [*after["messages"], self._told(intervention)]
            if intervention.action == "restart":
                after["findings"], after["misses"] = [], 0
            if intervention.action == "pivot":
                after["next"], after["ended"] = "finish", f"told to pivot by {intervention.rule}"
            elif intervention.urgent and after["next"] == "check":
                # Nothing is submitted yet: the plan is made again with what was said.
                after = merged(after, {"next": "plan", "exchange": [], "tries": 0, **NO_CODE})
        return {**after}

    def _told(self, intervention: Intervention) -> str:
        message = {"role": "user", "content": intervention.text}
        self._log("user", message, "heard", rule=intervention.rule)
        return intervention.text

    async def _ask(self, stage: Stage, state: State) -> Update:
        """One model call, and what is made of its answer."""
        context = self._context
        desk = replace(await self._open(), shrunk=state["shrunk"])
        if state["calls"] >= context.config.max_turns:
            self._event(stage.name, "no model calls are left for this directive")
            return _next_question(stage.give_up(desk, state, ""))
        context.say(stage.doing)
        messages = state["exchange"] or [
            _user(desk.ask(stage.template, **stage.values(desk, state)))
        ]
        before = {"before": messages[:-1]} if messages[1:] else {}
        self._log("user", messages[-1], stage.name, **before)
        sent = [await self._system(), *messages]
        client = context.endpoints.client(context.model)
        try:
            answer = await client.complete(sent, [], context.model_call)
        except ContextTooLongError as error:
            if state["shrunk"] >= MAX_HALVINGS:
                raise
            self._event(stage.name, f"the question is too long and is asked shorter: {error}")
            return {"shrunk": state["shrunk"] + 1, "exchange": [], "next": stage.name}
        self._log(
            "assistant",
            answer.message,
            stage.name,
            finish_reason=answer.finish_reason,
            usage=asdict(answer.usage),
        )
        text = spoken(str(answer.message.get("content") or ""))
        update: Update = {"calls": state["calls"] + 1}
        try:
            cut = stage.whole and answer.finish_reason == "length"
            taken = (_refuse_cut if cut else stage.take)(desk, state, text)
            return {**update, **_next_question(taken)}
        except AnswerError as error:
            kept: Update = error.kept if isinstance(error, UnusableError) else {}
            after = merged(state, {**update, **kept})
            return self._sent_back(stage, desk, after, messages[0], text, error)

    def _sent_back(
        self,
        stage: Stage,
        desk: Desk,
        state: State,
        asked: Message,
        answer: str,
        error: AnswerError,
    ) -> Update:
        """The answer goes back with what is wrong with it, or another way is taken."""
        tries = state["tries"] + 1
        problem = clip(str(error), _COMPLAINT_CHARACTERS)
        if tries >= stage.tries:
            self._event(stage.name, f"given up after {tries} answers; the last one: {problem}")
            return {**state, **_next_question(stage.give_up(desk, state, answer))}
        form = desk.ask(stage.form)
        complaint = f"Your answer cannot be used as it is: {problem}\n\n{form}"
        return {
            **state,
            "tries": tries,
            "exchange": [asked, _assistant(answer), _user(complaint)],
            "next": stage.name,
        }

    async def _recall(self, state: State) -> Update:
        """Ask the memory what bears on the plan; without an answer the plan stands."""
        desk = await self._open()
        context, assignment = self._context, desk.assignment
        context.say("asking the memory")
        query = f"{state['plan']['title']}\n{state['plan']['text']}"
        if assignment.directive.operator is Operator.DEBUG and assignment.base.verdict:
            query = f"{assignment.base.verdict.feedback[-_QUERY_CHARACTERS // 2 :]}\n{query}"
        found = await context.recall(query[:_QUERY_CHARACTERS], purpose="plan", limit=RECALLED)
        records = sorted_records([*assignment.recalled, *found], desk)
        follows = "refine" if records or state["messages"] else "choose"
        return {"recalled": records, "next": follows}

    async def _choose(self, state: State) -> Update:
        update = choose(await self._open(), state)
        self._context.claim(focus=state["plan"]["title"])
        self._event("choose", f"coding mode: {update.get('next', '')}")
        return update

    async def _check(self, state: State) -> Update:
        """Run the program once, before an evaluation is spent on it."""
        self._context.say("checking")
        problem = await self._place(state)
        if not problem:
            checked = await check(self._context)
            message = {"role": "tool", "content": checked.report or "cut short"}
            self._log("tool", message, "check", name="check", ok=checked.ok)
            if checked.cut or checked.ok:
                follows = "check" if checked.cut else "submit"
                return {"placed": self._placed(state), "next": follows}
            problem = checked.report
        return {"placed": self._placed(state), **_repair(state, problem)}

    async def _submit(self, state: State) -> Update:
        context = self._context
        title = state["plan"]["title"]
        context.say(f"submit: {title[:80]}")
        await self._place(state)
        detail = {"tried": state["tried"], "repairs": state["repairs"], "calls": state["calls"]}
        key = f"{context.agent}/pipeline/{state['directive']}/submit"
        try:
            submitted = await context.submit(title, key=key, detail=detail)
        except SubmissionRefusedError as error:
            return _repair(state, f"The submission was refused: {error}")
        attempt, verdict = submitted.attempt, submitted.verdict
        assert verdict is not None, "it was waited for"
        text = verdict_text(attempt, verdict, context.graph)
        self._log("tool", {"role": "tool", "content": text}, "submit", name="submit")
        done: Update = {"attempt": attempt.id, "outcome": outcome(attempt, context.graph)}
        if attempt.status is Status.DUPLICATE:
            return {**done, "next": "finish"}
        return {**done, "verdict": text, "next": "analyse"}

    async def _finish(self, state: State) -> Update:
        """Write down what was learnt; end the directive."""
        context = self._context
        context.say("finishing the directive")
        title, finding = state["plan"]["title"], state["finding"]
        if state["ended"]:
            result = "after the submission" if state["attempt"] else "without a submission"
            self._event("finish", f"the directive ends {result}: {state['ended']}")
        came_of_it = state["outcome"] or f"not submitted: {state['ended']}"
        if finding:
            key = f"{context.agent}/pipeline/{state['directive']}/note"
            text = f"{finding}\n({came_of_it})"
            await context.note(one_line(title, limit=200) or "untitled", text, key=key)
        learnt = one_line(f"“{title}”: {came_of_it}. {finding}", limit=700)
        clear = fresh(
            state["directive"],
            findings=[*state["findings"], learnt],
            messages=state["messages"],
            misses=state["misses"],
            shrunk=state["shrunk"],
        )
        return {**clear, "next": ""}

    async def _place(self, state: State) -> str:
        """Put the files into the workspace, whatever is there; says what is wrong with them."""
        desk = await self._open()
        sandbox = self._context.sandbox
        write, remove = placing(desk.base, state["files"], state["placed"])
        try:
            for path, content in write.items():
                await sandbox.write_file(path, content.encode("utf-8"))
        except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
            return f"A file cannot be written: {error}"
        except UnicodeEncodeError as error:
            return f"A file has characters that are no text: {error}"
        if remove:
            await sandbox.exec(["rm", "-f", "--", *remove], timeout_s=_REMOVE_TIMEOUT_S)
        return ""

    @staticmethod
    def _placed(state: State) -> list[str]:
        return sorted({*state["placed"], *state["files"]})

    async def _system(self) -> Message:
        if self._knowledge is None:
            self._knowledge = await read_knowledge(self._context)
        return {"role": "system", "content": system(self._context, self._knowledge)}

    async def _open(self) -> Desk:
        """The desk of the open directive."""
        if self._desk is None:
            assignment = self._context.current
            assert isinstance(assignment, Assignment), "a step outside a directive"
            self._desk = await open_desk(self._context, assignment)
        return self._desk

    def _log(self, kind: str, message: Message, stage: str, **more: Any) -> None:
        self._context.log({"type": kind, "stage": stage, "message": message, **more})

    def _event(self, stage: str, text: str) -> None:
        self._context.log({"type": "stage", "stage": stage, "text": text})


def _repair(state: State, problem: str) -> Update:
    """Send the program back with what is wrong, or end without it."""
    if state["repairs"] < MAX_REPAIRS:
        return {**repair(problem), "repairs": state["repairs"] + 1}
    first = one_line(problem.split("\n", 1)[0], limit=300)
    return {
        "next": "finish",
        "ended": f"after {MAX_REPAIRS} repairs it still does not work",
        "finding": f"After {MAX_REPAIRS} repairs it still did not work: {first}",
    }


def _refuse_cut(desk: Desk, state: State, answer: str) -> Update:
    raise AnswerError("it was cut off at the length limit: be shorter")


def _next_question(update: Update) -> Update:
    return {**update, "exchange": [], "tries": 0}


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": clip(text, _ANSWER_CHARACTERS) or "(no answer)"}
