"""A competition on disk, in the benchmark's own layout, and what of it is missing."""

import csv
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from harness.errors import UserError
from harness.tasks.mlebench import metrics, registry

LFS = b"version https://git-lfs.github.com/spec/v1"
INSTALL = (
    "git lfs clone https://github.com/openai/mle-bench && pip install -e ./mle-bench"
    " (it is not on PyPI; data need a Kaggle account and its rules accepted)"
)


def default_data_dir() -> Path:
    """Where the `mlebench` package keeps its data."""
    return platformdirs.user_cache_path("mle-bench") / "data"


def package_folder() -> Path | None:
    """Folder of the installed `mlebench` package; it is not imported. None without one."""
    spec = importlib.util.find_spec("mlebench")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what git-LFS leaves in place of one that was not fetched."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS)) == LFS
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Competition:
    """A competition below a data folder.

    `config` has the keys of the benchmark's config.yaml. It and `leaderboard` are looked for in
    `<data-dir>/<id>/` first, then in the `mlebench` package.
    """

    id: str
    data_dir: Path
    config: dict[str, Any]
    leaderboard: Path | None

    @property
    def folder(self) -> Path:
        return self.data_dir / self.id

    @property
    def public(self) -> Path:
        return self.folder / "prepared" / "public"

    @property
    def private(self) -> Path:
        return self.folder / "prepared" / "private"

    @property
    def answers(self) -> Path:
        return self._dataset("answers")

    @property
    def sample(self) -> Path:
        return self._dataset("sample_submission")

    @property
    def metric(self) -> str | None:
        """A metric that `metrics.py` has; None when only the package can grade this."""
        name = str(self.config.get("grader", {}).get("name", ""))
        if "grade_fn" not in self.config.get("grader", {}) and metrics.known(name):
            return name
        return registry.METRICS.get(self.id)

    def _dataset(self, key: str) -> Path:
        value = self.config.get("dataset", {}).get(key)
        if not isinstance(value, str):
            raise UserError(
                f"config.yaml of {self.id} has no dataset.{key}",
                expected=f"a path relative to the data folder, as {self.id}/prepared/…",
                action="take config.yaml from the benchmark's repository",
            )
        return self.data_dir / value


def find_competition(competition: str, data_dir: Path) -> Competition:
    """The competition, as far as it is there.

    Raises:
        UserError: There is no configuration of it, or it cannot be read.
    """
    places = [data_dir / competition]
    if (package := package_folder()) is not None:
        places.append(package / "competitions" / competition)
    config = next((p for place in places if (p := place / "config.yaml").is_file()), None)
    if config is None:
        raise UserError(
            f"no config.yaml of competition {competition!r}",
            expected=f"{places[0] / 'config.yaml'}, or the package mlebench",
            action=f"harness mlebench demo --data-dir {data_dir}, or: {INSTALL}",
        )
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        content = dict(content)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"{config} cannot be read: {str(error).splitlines()[0]}",
            expected="the benchmark's keys: id, dataset, grader",
            action="restore it from the benchmark's repository",
        ) from None
    boards = (place / "leaderboard.csv" for place in places)
    leaderboard = next((board for board in boards if board.is_file()), None)
    return Competition(competition, data_dir, content, leaderboard)


def problems(competition: Competition) -> Iterator[str]:
    """What is missing or not fetched; a leaderboard only costs the medals."""
    for what, folder in (("public", competition.public), ("private", competition.private)):
        if not folder.is_dir() or not any(folder.iterdir()):
            yield f"{what} data: {folder} is missing or empty"
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size < 1024 and is_lfs_pointer(path):
                yield f"{path} is a git-LFS pointer: git lfs pull"
    for what in ("answers", "sample"):
        try:
            named: Path = getattr(competition, what)
        except UserError as error:
            yield error.wrong
            continue
        if not named.is_file():
            yield f"{what}: {named} is missing"
    board = competition.leaderboard
    if board is None:
        yield f"no leaderboard.csv: {competition.id} gets scores, medals stay unknown"
    elif is_lfs_pointer(board):
        yield f"{board} is a git-LFS pointer: git lfs pull (until then medals stay unknown)"
    elif _against_its_metric(competition):
        yield f"{board} is not in the order of the metric {competition.metric}: wrong medals"
    if competition.metric is None and package_folder() is None:
        yield f"no grader: neither the package mlebench nor a metric of {competition.id} here"


def _against_its_metric(competition: Competition) -> bool:
    """Whether the leaderboard says that scores are better the other way than the metric does."""
    board = read_leaderboard(competition.leaderboard)
    if not board or competition.metric is None or board[0] == board[-1]:
        return False
    return (board[0] < board[-1]) != (competition.metric in metrics.LOWER_IS_BETTER)


def read_leaderboard(path: Path | None) -> list[float] | None:
    """Scores in file order; None where the leaderboard is missing, a pointer or empty.

    Raises:
        UserError: It is there and cannot be read.
    """
    if path is None or is_lfs_pointer(path):
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            scores = [float(row["score"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read: {error!r}",
            expected="a CSV file with the column `score`, best first",
            action="restore it from the benchmark's repository: git lfs pull",
        ) from None
    return scores or None
