"""Rows of the hidden split that the training data have as well: what they score says little."""

from itertools import islice
from pathlib import Path

from harness.tasks.mlebench.views import Plan, read_header, read_rows

LOOKED_AT = 1_000_000
"""Rows of the training data, at most."""
TOLD_FROM = 0.01
"""Share of hidden rows with a twin from which on it is told."""


def write_note(plan: Plan, search: Path, knowledge: Path) -> None:
    """Tell agents how many hidden rows have a twin, where these are many. Blocking."""
    if plan.table is None:
        return
    count, hidden = twins(plan, search)
    if count < max(1, TOLD_FROM * hidden):
        return
    text = (
        "# These data\n\n"
        f"- {count} of the {hidden} rows of `test.csv` are in `{plan.labels.name}` as well, equal"
        " but for the id. Scores are too good by that. Keep equal rows in one fold, and do not look"
        " labels up: the final test need not have such twins.\n"
    )
    (knowledge / "these_data.md").write_text(text, encoding="utf-8")


def twins(plan: Plan, search: Path) -> tuple[int, int]:
    """Hidden rows that a training row equals in all but id and labels, and all hidden rows."""
    table, labels = search / "test.csv", search / plan.labels.name
    shared = set(read_header(table)) & set(read_header(labels))
    names = sorted(shared - {plan.key, *plan.about.columns[1:], str(plan.about.label)})
    if not names:
        return 0, 0
    known = {
        hash(tuple(row[name] for name in names)) for row in islice(read_rows(labels), LOOKED_AT)
    }
    found = [hash(tuple(row[name] for name in names)) in known for row in read_rows(table)]
    return sum(found), len(found)
