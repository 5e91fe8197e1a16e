"""The evaluator of a task, by the kind its `task.yaml` names."""

from harness.evaluators.answer import AnswerEvaluator
from harness.evaluators.base import Evaluator
from harness.evaluators.context import EvaluatorContext


def make_evaluator(context: EvaluatorContext) -> Evaluator:
    """An evaluator for the task of `context`; the caller closes it."""
    return AnswerEvaluator(context, context.task.file.evaluator)
