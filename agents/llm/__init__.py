"""The `llm` agent: a LangGraph loop over an OpenAI-compatible endpoint, checkpointed in SQLite."""

from harness.agents.llm.agent import LlmAgent

__all__ = ["LlmAgent"]
