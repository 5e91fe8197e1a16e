"""Scores and tasks, as CORAL's graders know them."""

from dataclasses import dataclass, field
from typing import Any

BUDGET_CLASS_REAL = "real"
BUDGET_CLASS_TUNE = "tune"


def get_budget_class(metadata):
    """`real` unless the metadata say something else."""
    return (metadata or {}).get("budget_class", BUDGET_CLASS_REAL)


@dataclass
class Task:
    """What is evaluated."""

    id: str
    name: str
    description: str = ""
    metadata: dict = field(default_factory=dict)


@dataclass
class Score:
    """One part of a result."""

    value: Any
    name: str
    explanation: str | None = None
    metadata: dict = field(default_factory=dict)

    def to_dict(self):
        return {"value": self.value, "name": self.name, "explanation": self.explanation,
                "metadata": self.metadata}

    @classmethod
    def from_dict(cls, data):
        return cls(data["value"], data["name"], data.get("explanation"),
                   data.get("metadata") or {})


@dataclass
class ScoreBundle:
    """A result: `aggregated` is the score, the parts explain it."""

    scores: dict
    aggregated: float | None = None
    is_public: bool = True
    feedback: str | None = None
    metadata: dict = field(default_factory=dict)

    def to_dict(self):
        return {"scores": {name: each.to_dict() for name, each in self.scores.items()},
                "aggregated": self.aggregated, "is_public": self.is_public,
                "feedback": self.feedback, "metadata": self.metadata}

    @classmethod
    def from_dict(cls, data):
        scores = {name: Score.from_dict(each) for name, each in data["scores"].items()}
        return cls(scores, data.get("aggregated"), data.get("is_public", True),
                   data.get("feedback"), data.get("metadata") or {})
