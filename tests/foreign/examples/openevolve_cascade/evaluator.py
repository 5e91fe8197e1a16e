import importlib.util

from openevolve.evaluation_result import EvaluationResult


def _load(program_path):
    spec = importlib.util.spec_from_file_location("program", program_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def evaluate_stage1(program_path):
    module = _load(program_path)
    return EvaluationResult(
        metrics={"a": module.A, "combined_score": module.A}, artifacts={"first": b"stage one"}
    )


def evaluate_stage2(program_path):
    module = _load(program_path)
    if module.B < 0:
        raise ValueError("B is negative")
    return {"b": module.B, "combined_score": module.A + module.B}


def evaluate_stage3(program_path):
    module = _load(program_path)
    return EvaluationResult(
        metrics={"c": 1.0, "combined_score": module.A + module.B + 1.0},
        artifacts={"third": "stage three"},
    )


def evaluate(program_path):
    raise RuntimeError("with stages this is not called")
