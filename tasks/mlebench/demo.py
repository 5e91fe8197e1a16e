"""Three small competitions in the benchmark's layout, from data sets that ship in scikit-learn.

The leaderboard of each is a fixed grid of pipelines, fitted on the public training rows and scored
on the held-out test, best first. Everything is derived from `SEED`, so each machine gets the same
up to rounding.
"""

import csv
import importlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError
from harness.tasks.mlebench.metrics import LOWER_IS_BETTER, grade_files

SEED = 7
TEST_SHARE = 0.3


@dataclass(frozen=True)
class Demo:
    """One of the competitions; `loader` is a function of `sklearn.datasets`."""

    id: str
    loader: str
    metric: str
    target: str
    text: str


DEMOS = (
    Demo(
        "demo-breast-cancer",
        "load_breast_cancer",
        "logloss",
        "benign",
        "Predict the probability that a tumour is benign from measurements of its cell nuclei.",
    ),
    Demo(
        "demo-digits",
        "load_digits",
        "accuracy",
        "digit",
        "Tell which digit, 0 to 9, an image of 8 x 8 grey values shows.",
    ),
    Demo(
        "demo-diabetes",
        "load_diabetes",
        "rmse",
        "progression",
        "Predict the progression of diabetes a year after ten measurements were taken.",
    ),
)


def make_demos(data_dir: Path) -> list[Path]:
    """Write the competitions below `data_dir`; one that is there already is left as it is.

    Raises:
        UserError: scikit-learn is not installed, or the folder cannot be written.
    """
    try:
        importlib.import_module("sklearn")
    except ImportError:
        raise UserError(
            "the demonstration needs scikit-learn, which is not installed",
            expected="the extra mle",
            action="pip install 'research-harness[mle]', or in a checkout: pip install -e '.[mle]'",
        ) from None
    made: list[Path] = []
    for demo in DEMOS:
        folder = data_dir / demo.id
        if not (folder / "leaderboard.csv").is_file():  # written last
            try:
                _make(demo, folder)
            except OSError as error:
                raise UserError(
                    f"{folder} cannot be made: {error.strerror}",
                    expected="a folder that can be written",
                    action="name another one with --data-dir",
                ) from None
        made.append(folder)
    return made


def _make(demo: Demo, folder: Path) -> None:
    import numpy as np
    from sklearn import datasets

    table, target = getattr(datasets, demo.loader)(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(target))
    cut = int(len(target) * TEST_SHARE)
    test, train = order[:cut], order[cut:]
    features = [f"x{index}" for index in range(table.shape[1])]
    public, private = folder / "prepared" / "public", folder / "prepared" / "private"
    public.mkdir(parents=True, exist_ok=True)
    private.mkdir(parents=True, exist_ok=True)
    rows = [[str(float(v)) for v in row] for row in table]
    labels = [_label(value) for value in target]
    head = ["id", *features]
    _write(public / "train.csv", [*head, demo.target], ([i, *rows[i], labels[i]] for i in train))
    _write(public / "test.csv", head, ([i, *rows[i]] for i in test))
    guess = _label(np.mean(target)) if demo.metric != "accuracy" else "0"
    columns = ["id", demo.target]
    _write(public / "sample_submission.csv", columns, ([i, guess] for i in test))
    _write(private / "test.csv", columns, ([i, labels[i]] for i in test))
    (public / "description.md").write_text(_description(demo), encoding="utf-8")
    (folder / "config.yaml").write_text(yaml.safe_dump(_config(demo)), encoding="utf-8")
    scores = _grid(demo, (table[train], target[train], table[test]), test, private / "test.csv")
    best_first = sorted(scores, reverse=demo.metric not in LOWER_IS_BETTER)
    _write(folder / "leaderboard.csv", ["teamId", "score"], enumerate(best_first))


def _label(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    draft.rename(path)


def _config(demo: Demo) -> dict[str, Any]:
    prepared = f"{demo.id}/prepared"
    return {
        "id": demo.id,
        "name": demo.id.replace("-", " "),
        "competition_type": "simple",
        "description": f"{prepared}/public/description.md",
        "dataset": {
            "answers": f"{prepared}/private/test.csv",
            "sample_submission": f"{prepared}/public/sample_submission.csv",
        },
        "grader": {"name": demo.metric},
    }


def _description(demo: Demo) -> str:
    better = "lower" if demo.metric in LOWER_IS_BETTER else "higher"
    return (
        f"# {demo.id}\n\n{demo.text}\n\n"
        f"`train.csv` has the column `{demo.target}`, `test.csv` has not. Submissions have the"
        f" columns `id` and `{demo.target}`, as `sample_submission.csv`.\n\n"
        f"## Evaluation\n\nMetric: {demo.metric}, {better} is better.\n"
    )


def _grid(demo: Demo, data: tuple[Any, Any, Any], ids: Iterable[Any], answers: Path) -> list[float]:
    """The score of each pipeline, as a submission of a team would get it."""
    train, target, test = data
    scores: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "submission.csv")
        for model in _models(demo.metric):
            model.fit(train, target)
            if demo.metric == "logloss":
                guess = model.predict_proba(test)[:, 1]
            else:
                guess = model.predict(test)
            _write(path, ["id", demo.target], zip(ids, map(float, guess), strict=True))
            scores.append(round(grade_files(path, answers, demo.metric), 5))
    return scores


def _models(metric: str) -> Iterable[Any]:
    """The grid: 108 pipelines of four families, each from clumsy to tuned."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import SVC, SVR

    regression = metric == "rmse"
    for scaler in (StandardScaler, MinMaxScaler):
        for power in range(-7, 7):
            strength = 10.0 ** (power / 2)
            linear = (
                Ridge(alpha=strength)
                if regression
                else LogisticRegression(C=strength, max_iter=500)
            )
            yield _chain(Pipeline, scaler(), linear)
        for neighbours in (1, 2, 3, 5, 7, 10, 15, 20, 30, 45):
            for weights in ("uniform", "distance"):
                family = KNeighborsRegressor if regression else KNeighborsClassifier
                yield _chain(Pipeline, scaler(), family(neighbours, weights=weights))
        for power in range(-4, 6):
            cost = 10.0 ** (power / 2)
            machine = SVR(C=cost * 30) if regression else SVC(C=cost, random_state=SEED)
            if metric == "logloss":
                machine = _calibrated(machine)
            yield _chain(Pipeline, scaler(), machine)
    for leaf in (1, 2, 3, 5, 8, 12, 20, 32, 50, 80):
        for count in (20, 60):
            forest = ExtraTreesRegressor if regression else ExtraTreesClassifier
            yield forest(count, min_samples_leaf=leaf, random_state=SEED)


def _chain(pipeline: Any, scaler: Any, model: Any) -> Any:
    return pipeline([("scaler", scaler), ("model", model)])


def _calibrated(machine: Any) -> Any:
    from sklearn.calibration import CalibratedClassifierCV

    family: Any = CalibratedClassifierCV  # its stub knows `ensemble` only as a word
    return family(machine, cv=3, ensemble=False)
