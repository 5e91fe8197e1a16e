"""What model calls used, read from a run's store: live, dead and copied runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.ids import AgentId, AttemptId
from harness.run.accounts import Account, by_agent, by_attempt, by_model
from harness.run.folder import RunFolder
from harness.run.reading import reading


@dataclass(frozen=True, slots=True)
class UsageView:
    """Accounts of a run's model calls."""

    agents: Mapping[AgentId, Account]
    models: Mapping[str, Account]
    attempts: Mapping[AttemptId, Account]


def read_usage(folder: RunFolder) -> UsageView:
    """Model calls by agent, by model and by the attempt they led to."""
    with reading(folder.database) as db:
        return UsageView(by_agent(db.execute), by_model(db.execute), by_attempt(db.execute))


def usage_document(account: Account | None) -> dict[str, Any] | None:
    """An account as JSON: tokens and USD (null: unknown); null without any call."""
    if account is None or not account.calls:
        return None
    return {
        "calls": account.calls,
        "prompt_tokens": account.prompt_tokens,
        "cached_tokens": account.cached_tokens,
        "completion_tokens": account.completion_tokens,
        "reasoning_tokens": account.reasoning_tokens,
        "cost_usd": account.cost_usd,
        "estimated_calls": account.estimated,
        "latency_s": round(account.latency_s, 3),
    }
