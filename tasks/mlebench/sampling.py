"""A small part of a view, in the same form: a program that crashes does so here, in seconds."""

import csv
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from harness.tasks.mlebench.views import Plan, link_tree, read_header, read_rows

TRAIN_ROWS, TEST_ROWS = 500, 100
WORTH_IT = 4_000
"""Rows of training data from which on there is a sample: fewer take little time as they are."""
OF_EACH_LABEL, MOST_LABELS = 5, 250
"""Rows of each label, as folds by label need them, where there are few labels."""
SEED = "harness-sample-1"

Row = dict[str, str]


def write_sample(plan: Plan, search: Path, target: Path, private: Path) -> bool:
    """Write a part of the view `search`, and to `private` the form of its submission. Blocking.

    Returns whether it was worth it: False, and nothing is written, where the data are small.
    """
    labels = search / plan.labels.name
    count = sum(1 for _ in read_rows(labels))
    if count < WORTH_IT:
        return False
    train = _chosen(plan, labels, count)
    form = search / plan.about.sample_submission
    tests = list(islice(read_rows(form), TEST_ROWS))
    ids = [row[plan.key] for row in tests]
    touched = {labels.name, form.name, "test.csv"}
    if plan.table is None:
        touched |= {"train", "test"}
    link_tree(search, target, skip=touched)
    _write(target / labels.name, read_header(labels), train)
    _write(target / form.name, plan.about.columns, tests)
    shutil.copyfile(target / form.name, private / "sample.csv")
    if plan.table is None:
        _link_files(search / "train", target / "train", [row[plan.key] for row in train])
        _link_files(search / "test", target / "test", ids)
        return True
    table, wanted = search / "test.csv", set(ids)
    part = [row for row in read_rows(table) if row[plan.key] in wanted]
    _write(target / "test.csv", read_header(table), part)
    return True


def _chosen(plan: Plan, labels: Path, count: int) -> list[Row]:
    """Training rows in their order: any, and some of each label. Holds no more than it returns."""
    any_rows = set(random.Random(SEED).sample(range(count), TRAIN_ROWS))
    names = [plan.about.label] if plan.about.label else plan.about.columns[1:]
    places: dict[str, defaultdict[str, list[int]]] = {name: defaultdict(list) for name in names}
    kept: dict[int, Row] = {}
    for place, row in enumerate(read_rows(labels)):
        if place in any_rows:
            kept[place] = row
        for name, by_label in places.items():
            if len(by_label) > MOST_LABELS:
                continue
            if len(few := by_label[row[name]]) < OF_EACH_LABEL:
                few.append(place)
                kept.setdefault(place, row)
    wanted = any_rows | {
        place
        for by_label in places.values()
        if len(by_label) <= MOST_LABELS
        for few in by_label.values()
        for place in few
    }
    return [row for place, row in sorted(kept.items()) if place in wanted]


def _write(path: Path, header: Sequence[str], rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)


def _link_files(source: Path, target: Path, ids: Sequence[str]) -> None:
    """Files of flat folders that are named by these ids."""
    wanted = set(ids)
    skipped = {p.name for p in source.iterdir() if not {p.name, p.stem} & wanted}
    link_tree(source, target, skip=skipped)
