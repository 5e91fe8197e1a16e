"""The evaluator of a task, by the kind its `task.yaml` names."""

from harness.evaluators.answer import AnswerEvaluator
from harness.evaluators.base import Evaluator
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.serve import ServeEvaluator
from harness.tasks.evaluation import AnswerSpec, ServeSpec


def make_evaluator(context: EvaluatorContext) -> Evaluator:
    """An evaluator for the task of `context`; the caller closes it."""
    match context.task.file.evaluator:
        case AnswerSpec() as spec:
            return AnswerEvaluator(context, spec)
        case ServeSpec() as spec:
            return ServeEvaluator(context, spec)
