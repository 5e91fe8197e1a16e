"""The loop of one agent as a graph.

    assign → model ⇄ tool → … → the directive ends → assign → … → no directive is left
        compact stands before model whenever the conversation has become too long

One thread per agent over the whole run. Each tool call is a step of its own: after a kill the
graph goes on from the last finished step, at most one call is repeated, and what has an effect
outside the sandbox carries a key that makes the repetition harmless.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from langgraph.graph import END, START, StateGraph

from harness.agents.base import AgentContext, Assignment
from harness.agents.conversation import (
    Message,
    Operation,
    append,
    noted,
    sendable,
    tool,
    unanswered,
    user,
)
from harness.agents.llm.news import Deliveries, News
from harness.agents.llm.room import Room
from harness.agents.llm.state import Desk, State, Update
from harness.agents.model import Answer
from harness.agents.prompts import directive_prompt, research_prompt, system_prompt
from harness.agents.saver import LoopSaver
from harness.agents.tools import ToolCall, run_tool, tool_schemas
from harness.agents.tools.bench import Bench, Pending
from harness.agents.tools.shell import Shell
from harness.errors import ContextTooLongError

MAX_REMINDERS = 2
"""Times a model that stops without having submitted is asked to go on."""
TURNS_LEFT_WARNING = 3
RESEARCH_TURNS = 15
"""Model calls of the warm start, at most."""

_UNBOUNDED_STEPS = 1_000_000

_NOT_SUBMITTED = (
    "You have not submitted anything for this directive. Go on with the tools and `submit` your "
    "best change; if you answer without a tool call again, the directive may end without a result."
)
_NOT_NOTED = "You have written no note yet. `memory_note` what you found, then end in words."
_CUT_OFF = (
    "Your answer was cut off at the length limit. Do it in smaller pieces: shorter thoughts, "
    "`edit` instead of `write`, several calls."
)
_FEW_TURNS = "{left} turns are left for this directive. Submit what you have if it is worth it."
_NOT_RUN = "Not run: the directive was closed before this call."
_NOT_REACHED = "Not run: an urgent message came first; call it again if you still want it."
_RESEARCH_OVER = "Not run: the research phase is over."


class Worker:
    """One agent's graph: its nodes are methods, its state is in the checkpoints."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._system: Message = {"role": "system", "content": system_prompt(context)}
        self._tools = {research: tool_schemas(research=research) for research in (False, True)}
        self._bench = Bench()
        self._news = News(context, self._bench)
        self._room = Room(context, self._system)
        self._resumed_in_tool = False
        self._own_keys = f"{context.agent}/"
        self._most_turns = context.config.max_turns
        self._research_turns = min(self._most_turns, RESEARCH_TURNS)

    async def work(self, saver: LoopSaver) -> None:
        """Directive after directive, until there is none."""
        graph = self._graph(saver)
        config = {
            "configurable": {"thread_id": self._context.agent},
            "recursion_limit": _UNBOUNDED_STEPS,
        }
        start = await self._continue(graph, config)
        try:
            await graph.ainvoke(start, config, durability="sync")
        finally:
            await self._bench.jobs.stop()

    async def _continue(self, graph: Any, config: Mapping[str, Any]) -> Update | None:
        """Input to go on with; None when the thread stopped inside the directive still open."""
        snapshot = await graph.aget_state(config)
        values = snapshot.values
        if not values:
            self._log("system", self._system)
        desk = Desk.load(values.get("desk"))
        self._bench.shell = Shell.load(values.get("shell") or {})
        # A thread may begin as a copy of another agent's: what that one waits for is not ours.
        own = [each for each in desk.waiting if each["key"].startswith(self._own_keys)]
        self._bench.pending = [Pending(**each) for each in own]
        self._news.restarted(desk.jobs)
        current = self._context.current
        if snapshot.next and current and desk.directive == current.directive.number:
            self._resumed_in_tool = "tool" in snapshot.next
            return None
        return {"desk": replace(desk, over=False).dump()}

    def _graph(self, saver: LoopSaver) -> Any:
        builder: Any = StateGraph(State)
        builder.add_node("assign", self._assign)
        builder.add_node("compact", self._compact)
        builder.add_node("model", self._ask)
        builder.add_node("tool", self._run_tool)
        asking = ["compact", "model"]
        builder.add_edge(START, "assign")
        builder.add_conditional_edges("assign", self._after_assign, [*asking, END])
        builder.add_edge("compact", "model")
        builder.add_conditional_edges("model", self._after_model, ["tool", *asking, "assign"])
        builder.add_conditional_edges("tool", self._after_tool, ["tool", *asking, "assign"])
        return builder.compile(checkpointer=saver)

    # The next directive

    async def _assign(self, state: State) -> Update:
        context, desk = self._context, Desk.load(state["desk"])
        # Before the workspace is loaded anew under their feet.
        ended = await self._bench.jobs.stop()
        self._bench.shell.cwd = ""
        context.say("asking for a directive")
        assignment = context.current
        begun = assignment is not None and assignment.directive.number == desk.directive
        studied = begun and desk.phase == "research"
        # After a kill the open directive may be one that this thread has not begun.
        if assignment is None or (begun and not studied):
            assignment = await context.assignment()
        if assignment is None:
            return {"desk": replace(desk, over=True, jobs=()).dump()}
        is_new = not desk.directive or desk.phase == "research"
        research = context.config.warm_start and is_new and not studied
        not_run = _RESEARCH_OVER if studied else _NOT_RUN
        opening = [tool(call["id"], not_run) for call in unanswered(state["messages"])]
        opening.append(self._opening(assignment, research=research))
        self._log("user", opening[-1])
        if ended:
            opening.append(self._news.ended_with_directive(ended))
        deliveries = self._news.take()
        desk = Desk(
            directive=assignment.directive.number,
            phase="research" if research else "work",
            restart=deliveries.restart,  # a pivot has been obeyed by this directive
            gauge=desk.gauge,
            waiting=desk.waiting,
        )
        return {
            "messages": [append(*opening), *deliveries.operations],
            "shell": self._bench.shell.dump(),
            "desk": desk.dump(),
        }

    def _opening(self, assignment: Assignment, *, research: bool) -> Message:
        if research:
            return user(research_prompt(self._context, self._research_turns), "research")
        return user(directive_prompt(assignment, self._context), "directive")

    def _after_assign(self, state: State) -> str:
        return END if Desk.load(state["desk"]).over else self._next_ask(state)

    # The model

    async def _ask(self, state: State) -> Update:
        context, desk = self._context, Desk.load(state["desk"])
        turns = desk.turns + 1
        context.say(f"thinking (turn {turns} of {self._max_turns(desk)})")
        gauge = self._room.gauge(desk)
        self._note_model(desk, turns)
        # What could not be said earlier: after a resume the graph may begin here.
        late = self._news.notices()
        request = [self._system, *sendable([*state["messages"], *late])]
        tools = self._schemas(desk)
        began = time.monotonic()
        try:
            client = context.endpoints.client(context.model)
            answer = await client.complete(request, tools, context.model_call)
        except ContextTooLongError as error:
            self._news.put_back(late)
            return {"desk": self._room.refused(desk, request, tools, error).dump()}
        for notice in late:
            self._log("user", notice)
        self._log(
            "assistant",
            answer.message,
            turn=turns,
            finish_reason=answer.finish_reason,
            usage=asdict(answer.usage),
            reasoning=answer.reasoning,
            protocol=answer.protocol,
            tries=answer.tries,
            duration_s=_since(began),
        )
        asked = [*state["messages"], *late]
        gauge = self._room.answered(gauge, asked, tools, answer.usage.prompt_tokens)
        running = self._bench.jobs.running
        desk = replace(desk, turns=turns, squeeze=0, gauge=gauge, jobs=running)
        operations: list[Operation] = [append(*late, answer.message)]
        reminder = None
        if "tool_calls" not in answer.message:
            reminder = self._reminder(desk, answer, noted(state["messages"]))
        if reminder is not None:
            deliveries = self._news.take()
            operations += [append(reminder), *deliveries.operations]
            desk = replace(
                desk,
                reminders=desk.reminders + 1,
                closed=deliveries.pivot,
                restart=deliveries.restart,
            )
        return {"messages": operations, "desk": desk.dump()}

    def _note_model(self, desk: Desk, turns: int) -> None:
        """Says so in the transcript when the model in force is another one than before."""
        name = self._room.gauge(desk)["model"]
        before = desk.gauge["model"] if desk.gauge else None
        if name != before:
            self._context.log({"type": "model", "model": name, "before": before, "turn": turns})

    def _reminder(self, desk: Desk, answer: Answer, notes: Sequence[str]) -> Message | None:
        """What is said to a model that stopped without a result; None when it may stop."""
        if desk.reminders >= MAX_REMINDERS or desk.turns >= self._max_turns(desk):
            return None
        if answer.finish_reason == "length":
            text = _CUT_OFF
        elif desk.phase == "research":
            if desk.reminders or notes:
                return None
            text = _NOT_NOTED
        elif not desk.submitted:
            text = _NOT_SUBMITTED
        else:
            return None
        reminder = user(text, "reminder")
        self._log("user", reminder)
        return reminder

    def _after_model(self, state: State) -> str:
        desk, messages = Desk.load(state["desk"]), state["messages"]
        if desk.squeeze:
            return "compact"
        if unanswered(messages):
            return "tool"
        if desk.closed or messages[-1]["role"] != "user":
            return "assign"
        return self._next_ask(state)

    # Tools

    async def _run_tool(self, state: State) -> Update:
        desk = Desk.load(state["desk"])
        call, *others = unanswered(state["messages"])
        number = state.get("calls", 0)
        # Identifiers made by endpoints need not be unique; their place in the thread is.
        key = f"{self._own_keys}{number}/{call['id']}"
        repeated, self._resumed_in_tool = self._resumed_in_tool, False
        made = ToolCall(self._context, key, number, self._bench, repeated)
        shell = self._bench.shell.dump()
        text, duration_s = await self._timed(made, call["function"], desk)
        deliveries = Deliveries()
        hears = not made.closed and (made.interrupted or not others)
        if hears:
            deliveries = self._news.collect()
        if made.interrupted:
            text += f"\n[interrupted after {duration_s:.1f} s by {deliveries.names()}, see below]"
        result = tool(call["id"], text)
        self._log_call(made, call["function"], result, duration_s)
        self._news.tell(deliveries)
        operations: list[Operation] = [append(result)]
        if made.interrupted:
            operations += [append(tool(each["id"], _NOT_REACHED)) for each in others]
        if hears:
            operations += [*self._few_turns(desk), *deliveries.operations]
        desk = replace(
            desk,
            submitted=desk.submitted or made.submitted,
            closed=made.closed or deliveries.pivot,
            restart=deliveries.restart,
            waiting=[each.dump() for each in self._bench.pending],
            jobs=self._bench.jobs.running,
        )
        update: Update = {"messages": operations, "calls": number + 1, "desk": desk.dump()}
        if self._bench.shell.dump() != shell:
            update["shell"] = self._bench.shell.dump()
        return update

    async def _timed(
        self, made: ToolCall, function: Mapping[str, str], desk: Desk
    ) -> tuple[str, float]:
        """The tool's answer and how long it took."""
        began = time.monotonic()
        research = desk.phase == "research"
        text = await run_tool(made, function["name"], function["arguments"], research=research)
        return text, _since(began)

    def _log_call(
        self, made: ToolCall, function: Mapping[str, str], result: Message, duration_s: float
    ) -> None:
        self._log(
            "tool",
            result,
            name=function["name"],
            arguments=function["arguments"],
            key=made.key,
            duration_s=duration_s,
            repeated=made.repeated,
            interrupted=made.interrupted,
        )

    def _few_turns(self, desk: Desk) -> list[Operation]:
        left = self._max_turns(desk) - desk.turns
        if left != TURNS_LEFT_WARNING or desk.phase == "research":
            return []
        reminder = user(_FEW_TURNS.format(left=left), "reminder")
        self._log("user", reminder)
        return [append(reminder)]

    def _after_tool(self, state: State) -> str:
        desk = Desk.load(state["desk"])
        if desk.closed:
            return "assign"
        if unanswered(state["messages"]):
            return "tool"
        return "assign" if desk.turns >= self._max_turns(desk) else self._next_ask(state)

    # The context window

    def _next_ask(self, state: State) -> str:
        desk = Desk.load(state["desk"])
        overflows = self._room.overflows(desk, state["messages"], self._schemas(desk))
        return "compact" if overflows else "model"

    async def _compact(self, state: State) -> Update:
        """One step: a kill leaves the old conversation or the new one."""
        desk = Desk.load(state["desk"])
        operations = await self._room.compact(desk, state["messages"], self._schemas(desk))
        return {"messages": operations, "desk": replace(desk, restart=False).dump()}

    def _schemas(self, desk: Desk) -> list[dict[str, Any]]:
        return self._tools[desk.phase == "research"]

    def _max_turns(self, desk: Desk) -> int:
        return self._research_turns if desk.phase == "research" else self._most_turns

    def _log(self, kind: str, message: Message, **more: Any) -> None:
        self._context.log({"type": kind, "message": message, **more})


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
