"""What is taken from a model's words about what was learnt."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ids import AttemptId
from harness.run.distiller import MOST, read_insights

KNOWN = {AttemptId(str(number)) for number in range(1, 20)}


def insight(**keys: Any) -> dict[str, Any]:
    return {"title": "Grow late", "text": "It pays.", "evidence": ["3", "7"], **keys}


def said(*insights: object) -> str:
    return json.dumps(list(insights))


@pytest.mark.parametrize("frame", ["%s", "```json\n%s\n```", "Here they are:\n%s\nThat is all."])
def test_insights_are_found_in_what_stands_around_them(frame: str) -> None:
    (found,) = read_insights(frame % said(insight()), KNOWN, "m")
    assert (found.title, found.text, found.model) == ("Grow late", "It pays.", "m")
    assert found.evidence == ("3", "7")


def test_only_attempts_that_there_are_count_as_evidence() -> None:
    assert read_insights(said(insight(evidence=["3", "99"])), KNOWN, "m") == []
    assert read_insights(said(insight(evidence=["3", "3"])), KNOWN, "m") == []
    (found,) = read_insights(said(insight(evidence=[3, "99", 4])), KNOWN, "m")
    assert found.evidence == ("3", "4")


def test_no_more_than_asked_for() -> None:
    many = [insight(title=f"t{number}") for number in range(20)]
    assert len(read_insights(said(*many), KNOWN, "m")) == MOST


@pytest.mark.parametrize(
    "words",
    ["", "none", "[]", "[1]", "]broken[", "[{", said(insight(title="")), said(insight(text=3))],
)
def test_anything_else_is_nothing(words: str) -> None:
    assert read_insights(words, KNOWN, "m") == []


@given(st.text())
def test_any_words_are_read(words: str) -> None:
    assert read_insights(words, KNOWN, "m") == []
