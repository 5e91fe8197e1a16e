"""docs/configuration.md says what the models say."""

from docs.make_configuration import PAGE, page, rows

from harness.run.config import RunConfig


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_configuration.py"


def test_every_key_is_described() -> None:
    undescribed = [row for row in rows(RunConfig) if "|  |" in row]
    assert not undescribed
