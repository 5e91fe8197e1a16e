"""Heartbeat rules as a configuration says them, for tests of the pulse."""

from typing import Any

AGENTS = ("agent-1", "agent-2", "agent-3")


def rule(name: str, trigger: str = "interval", **keys: Any) -> dict[str, Any]:
    return {"name": name, "trigger": trigger, "prompt": f"{name} {{{{ agent.agent }}}}", **keys}
