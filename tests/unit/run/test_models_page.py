"""What docs/models.md tells people to write is a configuration."""

import re
from pathlib import Path

import pytest
import yaml

from harness.agents.pricing import PriceTable
from harness.run.config import RunConfig

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_are_valid(snippet: str) -> None:
    content = yaml.safe_load(snippet)
    if "as_of" in content:
        assert PriceTable.model_validate({**content, "as_of": str(content["as_of"])}).models
    else:
        config = RunConfig.model_validate(content)
        assert all(model.name for model in config.agent.choices)
        assert config.agent.resolved_kind == "llm"


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 7
