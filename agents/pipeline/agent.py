"""The `pipeline` agent: one question at a time to a model that needs no tools.

    assign → plan → recall → refine → choose → full | diff | module … join → review → check
           → submit → analyse → finish → assign → …

A LangGraph graph; each step is checkpointed before the next one begins, and each model call is a
step. After a kill the step that was cut off is done again, no other; what has an effect (`submit`,
`note`) carries a key that makes the repetition harmless.
"""

from typing import Any

from langgraph.graph import END, START, StateGraph

from harness.agents.base import AgentContext
from harness.agents.endpoints import NeedsModels
from harness.agents.pipeline.state import State, Update
from harness.agents.pipeline.worker import Worker
from harness.agents.saver import open_checkpoints

_UNBOUNDED_STEPS = 1_000_000

_CODE = ("full", "diff", "review", "check", "plan", "finish")
_FOLLOWS: dict[str, tuple[str, ...]] = {
    "assign": ("plan", END),
    "plan": ("plan", "recall", "finish"),
    "recall": ("refine", "choose", "finish"),
    "refine": ("refine", "choose", "finish"),
    "choose": ("full", "diff", "module", "finish"),
    "full": _CODE,
    "diff": _CODE,
    "module": ("module", "join", "full", "finish"),
    "join": ("join", *_CODE),
    "review": ("review", "diff", "check", "plan", "finish"),
    "check": ("check", "submit", "diff", "plan", "finish"),
    "submit": ("analyse", "diff", "finish"),
    "analyse": ("analyse", "finish"),
    "finish": (END,),
}
"""The edges: what may follow each step. The state's `next` says what does."""


class PipelineAgent(NeedsModels):
    """Turns directives into attempts with a model that only answers in text.

    Safe to share between contexts.
    """

    async def run(self, context: AgentContext) -> None:
        """Work until the run is over; after a resume, from the last checkpoint on.

        Raises:
            BudgetExhaustedError: A model call or a submission does not fit the budget.
            ModelUnavailableError: The endpoint does not answer.
            ModelRefusedError: The endpoint refuses the key, the model or the request.
        """
        thread = f"{context.agent}/pipeline"
        config = {"configurable": {"thread_id": thread}, "recursion_limit": _UNBOUNDED_STEPS}
        with open_checkpoints(context.checkpoints) as saver:
            graph = _graph(Worker(context), saver)
            snapshot = await graph.aget_state(config)
            number = context.current.directive.number if context.current else None
            # Inside a directive that is still open it goes on; else it begins with `assign`.
            inside = snapshot.next and snapshot.values.get("directive") == number
            start: Update | None = None if inside else {"over": False}
            while True:
                state = await graph.ainvoke(start, config, durability="sync")
                if state["over"]:
                    return
                saver.keep_last(thread)
                start = {"over": False}


def _graph(worker: Worker, saver: Any) -> Any:
    builder: Any = StateGraph(State)
    for name, follows in _FOLLOWS.items():
        builder.add_node(name, worker.step(name))
        builder.add_conditional_edges(name, _next, list(dict.fromkeys(follows)))
    builder.add_edge(START, "assign")
    return builder.compile(checkpointer=saver)


def _next(state: State) -> str:
    return state["next"] or END
