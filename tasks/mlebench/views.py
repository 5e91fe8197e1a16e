"""What agents are shown of a competition: its public data, less a hidden validation split.

Two views have the same layout, so that one program serves both. In `search` the rows held back from
the training data stand in the place of the test; `final` is the public data as they are. Files that
no split touches are hard links where the file system allows, else copies.
"""

import csv
import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.tasks.mlebench.layout import Competition
from harness.tasks.mlebench.metrics import LOWER_IS_BETTER

SPLIT_SEED = "harness-validation-1"
SHARE = 0.2
MAX_ROWS = 200_000
LABEL_FILES = ("train.csv", "train_labels.csv", "labels.csv")
NUMBERS = frozenset({"rmse", "rmsle", "mae", "r2"})
PROBABILITIES = frozenset({"auc", "logloss", "multiclass_logloss"})
csv.field_size_limit(2**31 - 1)


class NoSplitError(Exception):
    """No hidden validation split can be made; the message says why."""


@dataclass(frozen=True)
class About:
    """`competition.json` of a view: what a program must know to answer in the right form."""

    metric: str
    direction: str
    columns: list[str]
    """Of a submission; the first is the id."""
    answer: str
    """`number`, `probability` or `label`."""
    label: str | None
    """Column of the training data whose values are the columns of a submission."""
    sample_submission: str


@dataclass(frozen=True)
class Plan:
    """How a competition is split."""

    about: About
    labels: Path
    """The training table."""
    table: Path | None
    """The test table; None where the test is a folder of files."""
    held_back: frozenset[int]
    """Rows of the training table, from 0."""
    key: str


def plan_split(competition: Competition) -> Plan:
    """Decide on the split; the same for every agent, run and machine.

    Raises:
        NoSplitError: The data do not allow one.
    """
    metric = competition.metric
    if metric is None:
        raise NoSplitError("its metric is only known to the benchmark's own grader")
    if not competition.sample.is_file():
        raise NoSplitError(f"there is no sample submission {competition.sample}")
    labels = next((p for n in LABEL_FILES if (p := competition.public / n).is_file()), None)
    if labels is None:
        raise NoSplitError(f"public data have none of {', '.join(LABEL_FILES)}")
    columns, header = read_header(competition.sample), read_header(labels)
    key, targets = columns[0], columns[1:]
    table = competition.public / "test.csv"
    if key not in header:
        raise NoSplitError(f"{labels.name} has no column {key!r}, the id of submissions")
    label = None
    if not set(targets) <= set(header):
        label = _one_hot(labels, key, header, targets, table)
    has_table = table.is_file() and key in read_header(table)
    folders = [competition.public / name for name in ("train", "test")]
    if not has_table and not all(folder.is_dir() for folder in folders):
        raise NoSplitError("there is neither a test.csv with the ids nor folders train/ and test/")
    answer = "number" if metric in NUMBERS else "label"
    if metric in PROBABILITIES:
        answer = "probability"
    about = About(
        metric=metric,
        direction="minimize" if metric in LOWER_IS_BETTER else "maximize",
        columns=columns,
        answer=answer,
        label=label,
        sample_submission=competition.sample.name,
    )
    held_back = _choose(competition.id, labels)
    return Plan(about, labels, table if has_table else None, held_back, key)


def write_views(competition: Competition, plan: Plan, search: Path, private: Path) -> None:
    """Write the view `search`, and to `private` the labels that it hides. Blocking.

    Raises:
        NoSplitError: A held-back row has no file.
    """
    touched = {plan.labels.name, plan.about.sample_submission, "test.csv"}
    if plan.table is None:
        touched |= {"train", "test"}
    link_tree(competition.public, search, skip=touched)
    hidden = _split_table(plan, search)
    _write_answers(plan, hidden, private)
    _write_sample(competition, plan, hidden, search)
    if plan.table is None:
        _split_files(competition.public, search, [row[plan.key] for row in hidden])
    write_about(plan.about, search)


def write_about(about: About, view: Path) -> None:
    """Write `competition.json`."""
    text = json.dumps(asdict(about), indent=1)
    (view / "competition.json").write_text(text + "\n", encoding="utf-8")


def link_tree(source: Path, target: Path, skip: frozenset[str] | set[str] = frozenset()) -> None:
    """`source` below `target` by hard links, without what the top folder's names in `skip` are."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.name in skip:
            continue
        if path.is_dir():
            link_tree(path, target / path.name)
        else:
            _link(path, target / path.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def read_header(path: Path) -> list[str]:
    """Columns of a table.

    Raises:
        NoSplitError: It has no id and more.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file), list[str]())
    if len(header) < 2:
        raise NoSplitError(f"{path.name} is no CSV table with an id and more")
    return header


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a table by column."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file)


def _one_hot(
    labels: Path, key: str, header: Sequence[str], targets: Sequence[str], table: Path
) -> str:
    """The column of the training data whose values are the columns of a submission."""
    known = set(read_header(table)) if table.is_file() else set[str]()
    for name in header:
        if name == key or name in known:
            continue
        if {row[name] for row in read_rows(labels)} == set(targets):
            return name
    missing = ", ".join(sorted(set(targets) - set(header))[:5])
    raise NoSplitError(f"{labels.name} has no target column for {missing}")


def _choose(competition: str, labels: Path) -> frozenset[int]:
    count = sum(1 for _ in read_rows(labels))
    wanted = min(MAX_ROWS, int(count * SHARE))
    if wanted < 10:
        raise NoSplitError(f"{labels.name} has {count} rows, too few to hold any back")
    chooser = random.Random(f"{SPLIT_SEED}:{competition}")
    return frozenset(chooser.sample(range(count), wanted))


def _split_table(plan: Plan, view: Path) -> list[dict[str, str]]:
    """Write the training table without the hidden rows, and these without labels; return them."""
    hidden: list[dict[str, str]] = []
    with (view / plan.labels.name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, read_header(plan.labels))
        writer.writeheader()
        for index, row in enumerate(read_rows(plan.labels)):
            if index in plan.held_back:
                hidden.append(row)
            else:
                writer.writerow(row)
    if plan.table is not None:
        header = read_header(plan.table)
        secret = {*plan.about.columns[1:], plan.about.label}
        with (view / "test.csv").open("w", newline="", encoding="utf-8") as file:
            tester = csv.DictWriter(file, [n for n in header if n not in secret], restval="")
            tester.writeheader()
            for row in hidden:
                tester.writerow({n: row.get(n, "") for n in tester.fieldnames})
    return hidden


def _write_answers(plan: Plan, hidden: Sequence[dict[str, str]], private: Path) -> None:
    private.mkdir(parents=True, exist_ok=True)
    about = plan.about
    with (private / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(about.columns)
        for row in hidden:
            if about.label is None:
                values: list[Any] = [row[name] for name in about.columns[1:]]
            else:
                values = [int(row[about.label] == name) for name in about.columns[1:]]
            writer.writerow([row[plan.key], *values])
    (private / "validation.json").write_text(
        json.dumps({"metric": about.metric, "direction": about.direction, "rows": len(hidden)})
        + "\n",
        encoding="utf-8",
    )


def _write_sample(
    competition: Competition, plan: Plan, hidden: Sequence[dict[str, str]], view: Path
) -> None:
    """The sample's first row, for each hidden id: it says nothing of the labels."""
    first = next(read_rows(competition.sample), None) or {}
    with (view / plan.about.sample_submission).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(plan.about.columns)
        default = [first.get(name, "") for name in plan.about.columns[1:]]
        writer.writerows([row[plan.key], *default] for row in hidden)


def _split_files(public: Path, view: Path, hidden: Sequence[str]) -> None:
    """Files of hidden ids go to `test/`, all others to `train/`; flat folders, named by id."""
    wanted = set(hidden)
    for folder in ("train", "test"):
        (view / folder).mkdir()
    found: set[str] = set()
    for path in sorted((public / "train").iterdir()):
        if path.is_dir():
            raise NoSplitError("train/ has folders: their names may be the labels")
        name = path.name if path.name in wanted else path.stem
        if name in wanted:
            found.add(name)
        _link(path, view / ("test" if name in wanted else "train") / path.name)
    if found != wanted:
        raise NoSplitError(f"{len(wanted - found)} rows of the label file have no file in train/")


def unable(competition: str, why: str) -> UserError:
    """What launch says where there is no hidden split."""
    return UserError(
        f"{competition}: no hidden validation split can be made: {why}",
        expected="a table with target columns, or folders of files with a label file",
        action="--allow-self-reported runs on scores that candidates report themselves (marked so)",
    )
