"""The evaluator of a task, by the kind its `task.yaml` names."""

from harness.evaluators.answer import AnswerEvaluator
from harness.evaluators.base import Evaluator
from harness.evaluators.cascade import CascadeEvaluator
from harness.evaluators.context import EvaluatorContext
from harness.evaluators.hidden import HiddenEvaluator
from harness.evaluators.judge_files import COMMAND, ONE_PHASE
from harness.evaluators.one_phase import OnePhaseEvaluator
from harness.evaluators.repository import RepositoryEvaluator
from harness.evaluators.serve import ServeEvaluator
from harness.tasks.evaluation import (
    AnswerSpec,
    CommandSpec,
    EvaluatorSpec,
    OnePhaseSpec,
    RepositorySpec,
    ServeSpec,
)


def make_evaluator(context: EvaluatorContext) -> Evaluator:
    """An evaluator for the task of `context`; the caller closes it."""
    spec = context.task.file.evaluator
    evaluator = _of_kind(context, spec)
    if spec.stages:
        stages = [(each, _of_kind(context, spec.varied(each.evaluator))) for each in spec.stages]
        evaluator = CascadeEvaluator(stages, evaluator, context.task.direction)
    if spec.hidden is not None:
        evaluator = HiddenEvaluator(evaluator, spec.hidden, context.task.direction)
    return evaluator


def _of_kind(context: EvaluatorContext, spec: EvaluatorSpec) -> Evaluator:
    match spec:
        case AnswerSpec():
            return AnswerEvaluator(context, spec)
        case ServeSpec():
            return ServeEvaluator(context, spec)
        case RepositorySpec():
            return RepositoryEvaluator(context, spec)
        case OnePhaseSpec():
            return OnePhaseEvaluator(context, spec, ONE_PHASE)
        case CommandSpec():
            return OnePhaseEvaluator(context, spec, COMMAND)
