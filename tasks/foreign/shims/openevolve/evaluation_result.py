"""The result type of OpenEvolve's evaluators."""

import json
from dataclasses import dataclass, field


@dataclass
class EvaluationResult:
    """Metrics by name, and texts or bytes beside them."""

    metrics: dict
    artifacts: dict = field(default_factory=dict)

    @classmethod
    def from_dict(cls, metrics):
        return cls(metrics)

    def to_dict(self):
        return self.metrics

    def has_artifacts(self):
        return len(self.artifacts) > 0

    def get_artifact_keys(self):
        return list(self.artifacts)

    def get_artifact_size(self, key):
        value = self.artifacts.get(key, b"")
        return len(value if isinstance(value, bytes) else str(value).encode())

    def get_total_artifact_size(self):
        return sum(map(self.get_artifact_size, self.artifacts))

    def __str__(self):
        return json.dumps(self.metrics, default=str)
