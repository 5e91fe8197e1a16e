"""`run_shinka_eval`: what ShinkaEvolve's own does, as far as its evaluators can tell."""

import importlib.util
import json
import math
import sys
import time
import traceback
from pathlib import Path

__all__ = ["run_shinka_eval"]

_ON_ERROR = {"combined_score": 0.0, "execution_time_mean": 0.0, "execution_time_std": 0.0,
             "num_successful_runs": 0, "num_valid_runs": 0, "num_invalid_runs": 0,
             "all_validation_errors": []}


def run_shinka_eval(
    program_path,
    results_dir,
    experiment_fn_name,
    num_runs,
    get_experiment_kwargs=None,
    aggregate_metrics_fn=None,
    validate_fn=None,
    plotting_fn=None,
    default_metrics_on_error=None,
    **unused,
):
    """Call a function of the program `num_runs` times, check and aggregate what it returns.

    Writes metrics.json and correct.json. Runs are done one after the other and none is left out:
    arguments about early stopping and workers change how long it takes, not what comes of it.
    """
    folder = Path(results_dir)
    folder.mkdir(parents=True, exist_ok=True)
    results, durations, problems, valid = [], [], [], 0
    error = None
    try:
        function = getattr(_load(program_path), experiment_fn_name)
        for index in range(num_runs):
            given = get_experiment_kwargs(index) if get_experiment_kwargs else {"seed": index + 1}
            start = time.perf_counter()
            result = function(**given)
            durations.append(time.perf_counter() - start)
            results.append(result)
            ok, why = validate_fn(result) if validate_fn else (True, None)
            valid += bool(ok)
            if not ok:
                problems.append(str(why))
        metrics = aggregate_metrics_fn(results) if aggregate_metrics_fn else {}
        metrics = dict(metrics or {})
        error = problems[0] if problems else None
    except Exception as raised:
        traceback.print_exc()
        error = f"{type(raised).__name__}: {raised}"
        metrics = dict(default_metrics_on_error or _ON_ERROR)
    extra = metrics.pop("extra_data", None)
    if plotting_fn is not None and extra is not None and error is None:
        _plot(plotting_fn, extra, folder)
    mean = sum(durations) / len(durations) if durations else 0.0
    metrics.setdefault("execution_time_mean", mean)
    metrics.setdefault("num_valid_runs", valid)
    metrics.setdefault("num_invalid_runs", len(results) - valid)
    metrics["all_validation_errors"] = list(dict.fromkeys(problems))
    score = metrics.get("combined_score")
    if isinstance(score, float) and not math.isfinite(score):
        error = error or f"combined_score is {score}"
    correct = error is None
    _write(folder / "metrics.json", metrics)
    _write(folder / "correct.json", {"correct": correct, "error": error})
    return metrics, correct, error


def _load(program_path):
    spec = importlib.util.spec_from_file_location("program", program_path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module
    spec.loader.exec_module(module)
    return module


def _plot(plotting_fn, extra, folder):
    try:
        for figure, title in plotting_fn(extra):
            if hasattr(figure, "savefig"):
                figure.savefig(folder / f"{title}.png")
    except Exception:
        traceback.print_exc()  # a picture decides nothing


def _write(path, document):
    path.write_text(json.dumps(document, default=_plain), encoding="utf-8")


def _plain(value):
    for name in ("item", "tolist"):
        if hasattr(value, name):
            return getattr(value, "tolist", value.item)()
    return str(value)
