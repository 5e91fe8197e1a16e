"""The `llm` agent: a LangGraph loop over an OpenAI-compatible endpoint, checkpointed in SQLite.

    assign → model ⇄ tools → … → end of the directive → assign → …

One thread per agent over the whole run. Each tool call is a step of its own: after a kill the
graph goes on from the last finished step, at most one call is repeated, and what has an effect
outside the sandbox (`submit`, `memory_note`) carries a key that makes the repetition harmless.
"""

import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypedDict

import aiosqlite
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from harness.agents.base import AgentConfig, AgentContext
from harness.agents.conversation import (
    Message,
    Operation,
    append,
    compact,
    noted,
    reduce,
    sendable,
    size,
    tool,
    unanswered,
    user,
)
from harness.agents.model import Answer, ModelClient, resolve_endpoint
from harness.agents.prompts import directive_prompt, summary_prompt, system_prompt
from harness.agents.tools import ToolCall, run_tool, tool_schemas

MAX_REMINDERS = 2
"""Times a model that stops without having submitted is asked to go on."""
TURNS_LEFT_WARNING = 3

_SNAPSHOT_UPDATES = 1000
_COMPACT_ABOVE = 0.6
_COMPACT_TO = 0.3
_CHARACTERS_PER_TOKEN = 3
_LOCK_TIMEOUT_S = 60.0
_UNBOUNDED_STEPS = 1_000_000

_NOT_SUBMITTED = (
    "You have not submitted anything for this directive. Go on with the tools and `submit` your "
    "best change; if you answer without a tool call again, the directive may end without a result."
)
_CUT_OFF = (
    "Your answer was cut off at the length limit. Do it in smaller pieces: shorter thoughts, "
    "`edit` instead of `write`, several calls."
)
_FEW_TURNS = "{left} turns are left for this directive. Submit what you have if it is worth it."
_NOT_RUN = "Not run: the directive was closed before this call."

_Messages = Annotated[
    list[Message], DeltaChannel(reduce, list, snapshot_frequency=_SNAPSHOT_UPDATES)
]


class State(TypedDict):
    """What is checkpointed. `directive` is the number of the open one, 0 for none."""

    messages: _Messages
    directive: int
    turns: int
    reminders: int
    submitted: bool
    closed: bool
    over: bool
    calls: int
    """Tool calls of the thread so far; part of each call's key."""


class Update(TypedDict, total=False):
    """What a step changes."""

    messages: list[Operation]
    directive: int
    turns: int
    reminders: int
    submitted: bool
    closed: bool
    over: bool
    calls: int


class LlmAgent:
    """Turns directives into attempts with a model and tools. Safe to share between contexts.

    Raises:
        ConfigurationError: On construction, when the endpoint or the model is not configured.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._endpoint = resolve_endpoint(config.model)

    async def check(self) -> None:
        """Ask the endpoint once, so that a wrong address or key is known before the first step."""
        client = ModelClient(self._config.model, self._endpoint)
        try:
            await client.check()
        finally:
            await client.close()

    async def run(self, context: AgentContext) -> None:
        """Work until the run is over; after a resume, from the last checkpoint on.

        Raises:
            BudgetExhaustedError: A model call or a submission does not fit the budget.
            ModelUnavailableError: The endpoint does not answer.
            ModelRefusedError: The endpoint refuses the key, the model or the request.
        """
        client = ModelClient(context.config.model, self._endpoint)
        try:
            async with _open_checkpoints(context.checkpoints) as saver:
                await _Worker(context, client).work(saver)
        finally:
            await client.close()


@asynccontextmanager
async def _open_checkpoints(path: Path) -> AsyncGenerator[AsyncSqliteSaver]:
    # Changing the journal mode does not wait for locks. Done here, in one go without giving up the
    # event loop, the agents of a run cannot get in each other's way.
    with closing(sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    async with aiosqlite.connect(path, timeout=_LOCK_TIMEOUT_S) as connection:
        yield AsyncSqliteSaver(connection)


class _Worker:
    """One agent's graph: its nodes are methods, its state is in the checkpoints."""

    def __init__(self, context: AgentContext, client: ModelClient) -> None:
        self._context = context
        self._client = client
        self._system: Message = {"role": "system", "content": system_prompt(context)}
        self._tools = tool_schemas()
        window = context.config.model.context_tokens * _CHARACTERS_PER_TOKEN
        self._compact_above = max(0, int(window * _COMPACT_ABOVE) - size([self._system]))
        self._compact_to = int(self._compact_above * _COMPACT_TO / _COMPACT_ABOVE)

    async def work(self, saver: AsyncSqliteSaver) -> None:
        """Directive after directive, until there is none."""
        graph = self._graph(saver)
        config = {
            "configurable": {"thread_id": self._context.agent},
            "recursion_limit": _UNBOUNDED_STEPS,
        }
        start: Update | None = {"over": False}
        if await self._interrupted(graph, config):
            start = None
        while True:
            state = await graph.ainvoke(start, config, durability="sync")
            if state["over"]:
                return
            start = {"over": False}

    async def _interrupted(self, graph: Any, config: Mapping[str, Any]) -> bool:
        """Whether the thread stopped inside the directive that is still open."""
        snapshot = await graph.aget_state(config)
        current = self._context.current
        if not snapshot.next:
            if not snapshot.values:
                self._log("system", self._system)
            return False
        return current is not None and snapshot.values.get("directive") == current.directive.number

    def _graph(self, saver: AsyncSqliteSaver) -> Any:
        builder: Any = StateGraph(State)
        builder.add_node("assign", self._assign)
        builder.add_node("model", self._ask)
        builder.add_node("tool", self._run_tool)
        builder.add_edge(START, "assign")
        builder.add_conditional_edges("assign", _after_assign, ["model", END])
        builder.add_conditional_edges("model", _after_model, ["tool", "model", END])
        builder.add_conditional_edges("tool", self._after_tool, ["tool", "model", END])
        return builder.compile(checkpointer=saver)

    async def _assign(self, state: State) -> Update:
        context = self._context
        context.say("asking for a directive")
        assignment = context.current
        # After a kill the open directive may be one that this thread has not begun.
        if assignment is None or assignment.directive.number == state.get("directive"):
            assignment = await context.assignment()
        if assignment is None:
            return {"over": True}
        messages = state["messages"]
        opening = [tool(call["id"], _NOT_RUN) for call in unanswered(messages)]
        opening.append(user(directive_prompt(assignment, context), "directive"))
        self._log("user", opening[-1])
        return {
            "messages": self._prepared(messages, [append(*opening)]),
            "directive": assignment.directive.number,
            "turns": 0,
            "reminders": 0,
            "submitted": False,
            "closed": False,
            "over": False,
        }

    async def _ask(self, state: State) -> Update:
        context = self._context
        turns = state["turns"] + 1
        context.say(f"thinking (turn {turns} of {context.config.max_turns})")
        messages = [self._system, *sendable(state["messages"])]
        answer = await self._client.complete(messages, self._tools, context.model_call)
        self._log(
            "assistant",
            answer.message,
            finish_reason=answer.finish_reason,
            usage=asdict(answer.usage),
        )
        operations: list[Operation] = [append(answer.message)]
        update: Update = {"turns": turns}
        if "tool_calls" not in answer.message:
            reminder = self._reminder(state, turns, answer)
            if reminder is not None:
                operations.append(append(reminder))
                operations = self._prepared(state["messages"], operations)
                update["reminders"] = state["reminders"] + 1
        update["messages"] = operations
        return update

    def _reminder(self, state: State, turns: int, answer: Answer) -> Message | None:
        """What is said to a model that stopped without a result; None when it may stop."""
        if state["reminders"] >= MAX_REMINDERS or turns >= self._context.config.max_turns:
            return None
        if answer.finish_reason == "length":
            text = _CUT_OFF
        elif not state["submitted"]:
            text = _NOT_SUBMITTED
        else:
            return None
        reminder = user(text, "reminder")
        self._log("user", reminder)
        return reminder

    async def _run_tool(self, state: State) -> Update:
        call, *others = unanswered(state["messages"])
        function = call["function"]
        # Identifiers made by endpoints need not be unique; their place in the thread is.
        key = f"{self._context.agent}/{state.get('calls', 0)}/{call['id']}"
        made = ToolCall(self._context, key)
        text = await run_tool(made, function["name"], function["arguments"])
        result = tool(call["id"], text)
        self._log("tool", result, name=function["name"])
        operations: list[Operation] = [append(result)]
        if not others and not made.closed:
            left = self._context.config.max_turns - state["turns"]
            if left == TURNS_LEFT_WARNING:
                operations.append(append(user(_FEW_TURNS.format(left=left), "reminder")))
            operations = self._prepared(state["messages"], operations)
        return {
            "messages": operations,
            "calls": state.get("calls", 0) + 1,
            "submitted": state["submitted"] or made.submitted,
            "closed": made.closed,
        }

    def _after_tool(self, state: State) -> str:
        if state["closed"]:
            return END
        if unanswered(state["messages"]):
            return "tool"
        return END if state["turns"] >= self._context.config.max_turns else "model"

    def _prepared(
        self, messages: list[Message], operations: Sequence[Operation]
    ) -> list[Operation]:
        """`operations`, then what comes before the next model call: heartbeats, compaction."""
        prepared = list(operations)
        for intervention in self._context.interventions():
            message = user(intervention.text, "heartbeat")
            self._log("user", message, rule=intervention.rule)
            prepared.append(append(message))
        after = reduce(messages, [prepared])
        if size(after) > self._compact_above:
            notes = noted(after)
            summary = user(summary_prompt(self._context, notes), "summary") | {"notes": notes}
            prepared += compact(after, self._compact_to, summary)
            self._context.log({"type": "compaction", "characters": size(after)})
        return prepared

    def _log(self, kind: str, message: Message, **more: Any) -> None:
        self._context.log({"type": kind, "message": message, **more})


def _after_assign(state: State) -> str:
    return END if state["over"] else "model"


def _after_model(state: State) -> str:
    messages = state["messages"]
    if unanswered(messages):
        return "tool"
    return "model" if messages[-1]["role"] == "user" else END
