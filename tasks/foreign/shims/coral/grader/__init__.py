"""The base class of graders."""

from coral.grader.task_grader import TaskGrader

__all__ = ["TaskGrader"]
