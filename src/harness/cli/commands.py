"""The verbs and nouns of the command line. One table: the help page and the dispatch read it."""

from typing import NamedTuple


class CommandEntry(NamedTuple):
    """A verb, or a noun with verbs: where it is implemented, and its line on the help page."""

    name: str
    target: str
    help: str


GROUPS: dict[str, tuple[CommandEntry, ...]] = {
    "Run": (
        CommandEntry("launch", "harness.cli.launch:launch", "Improve a task with a team of agents"),
        CommandEntry("resume", "harness.cli.launch:resume", "Continue a run, or extend it"),
        CommandEntry("pause", "harness.cli.control:pause", "Hold a live run or one agent of it"),
        CommandEntry("tell", "harness.cli.control:tell", "Say something to agents of a live run"),
        CommandEntry(
            "set", "harness.cli.control:set_values", "Change budgets, agents, rules of a live run"
        ),
        CommandEntry(
            "stop", "harness.cli.control:stop", "End a live run; what is in flight drains"
        ),
    ),
    "Look": (
        CommandEntry("status", "harness.cli.watch:status", "What a run and its agents are doing"),
        CommandEntry("runs", "harness.cli.look:runs", "All runs"),
        CommandEntry("attempts", "harness.cli.look:attempts", "The attempts of a run"),
        CommandEntry("show", "harness.cli.look:show", "One attempt: verdict, feedback, diff"),
        CommandEntry("graph", "harness.cli.look:graph", "Who expands and who refers to whom"),
        CommandEntry(
            "transcript", "harness.cli.transcript:transcript", "An agent's turns and tool calls"
        ),
        CommandEntry("report", "harness.cli.look:report", "A run in Markdown"),
        CommandEntry("export", "harness.cli.export:export", "A run as files for other tools"),
        CommandEntry(
            "heartbeat", "harness.cli.heartbeat:app", "Rules that step in, and what they did"
        ),
        CommandEntry("memory", "harness.cli.memory:app", "What is remembered, and why"),
    ),
    "Tasks": (
        CommandEntry("task", "harness.cli.task:app", "Make, check, import and list tasks"),
        CommandEntry("mlebench", "harness.cli.mlebench:app", "Competitions of MLE-bench"),
        CommandEntry("eval", "harness.cli.evaluate:evaluate", "Score a folder without any agent"),
        CommandEntry(
            "evaluator", "harness.cli.evaluator:app", "Serve a task's evaluator to other engines"
        ),
    ),
    "Machine": (
        CommandEntry("doctor", "harness.cli.doctor:doctor", "What works here, what is missing"),
        CommandEntry("image", "harness.cli.image:app", "Build and list Docker images"),
        CommandEntry("clean", "harness.cli.control:clean", "Remove what dead runs left"),
    ),
}


def all_commands() -> list[CommandEntry]:
    """Every command in the order of the help page."""
    return [entry for group in GROUPS.values() for entry in group]


def help_page() -> str:
    """What `harness --help` prints."""
    width = max(len(entry.name) for entry in all_commands()) + 2
    lines = [
        "harness: give it a task that has a score, and a team of agents improves it.",
        "",
        "Usage: harness COMMAND [ARGUMENTS]",
    ]
    for group, entries in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {entry.name:<{width}}{entry.help}" for entry in entries]
    lines += [
        "",
        "harness COMMAND --help tells more. Start with: harness launch circle_packing",
    ]
    return "\n".join(lines)
