"""Writes the table of built-in rules into docs/heartbeats.md: `python docs/make_heartbeats.py`."""

from pathlib import Path

from harness.agents.heartbeats.config import HeartbeatRule, default_rules
from harness.agents.heartbeats.triggers import summary

PAGE = Path(__file__).resolve().parent / "heartbeats.md"
HEAD = "| rule | fires | reaches | what it does |\n|---|---|---|---|\n"


def row(rule: HeartbeatRule) -> str:
    """A built-in rule on one line."""
    fires = summary(rule) + (f", if `{rule.when}`" if rule.when else "")
    reaches = "the agent" if rule.scope == "agent" else rule.reach
    does = "a message" if rule.action.do == "prompt" else f"a message, {rule.action.do}"
    extras = [name for name in ("urgent", "relay") if getattr(rule, name)]
    return f"| `{rule.name}` | {fires} | {reaches} | {', '.join([does, *extras])} |\n"


def page(text: str) -> str:
    """The page with the table as the code has it."""
    before, _, after = text.partition(HEAD)
    rest = after[len(after.partition("\n\n")[0]) :]
    return before + HEAD + "".join(map(row, default_rules())).rstrip("\n") + rest


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
