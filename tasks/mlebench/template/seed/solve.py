"""First solution: a weighted blend of scikit-learn models on the columns of a table.

    python solve.py DATA    writes submission.csv, and prints a score of its own validation

DATA has train.csv, test.csv, the sample submission, competition.json and competition_metrics.py. Where
there is no table that this understands, the sample submission is handed in as it is. All numbers worth
changing are in settings.py.
"""

import csv
import json
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")


def read(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def number(text):
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text.lower(), np.nan)


def features(train, test, names):
    """Numbers as they are, words by how often they are in the training data."""
    columns = []
    for name in names:
        known = [number(row[name]) for row in train]
        if not np.isnan(known).all():
            columns.append((known, [number(row[name]) for row in test]))
            continue
        often = Counter(row[name] for row in train)
        columns.append(tuple([float(often[row[name]]) for row in rows] for rows in (train, test)))
    return tuple(np.array(each).T for each in zip(*columns))


def answers(about, train, test, names):
    """Rows of a submission for `test`."""
    from members import blend

    key, targets = about["columns"][0], about["columns"][1:]
    x, y = features(train, test, names)
    columns = []
    for name in [about["label"]] if about["label"] else targets:
        labels = np.array([row[name] for row in train])
        if about["answer"] == "number":
            columns.append(blend(x, labels.astype(float), y, True))
            continue
        classes = np.unique(labels)
        guess = blend(x, labels, y, False)
        if about["label"]:
            by_class = dict(zip(classes, guess.T))
            columns += [by_class.get(target, np.zeros(len(test))) for target in targets]
        elif about["answer"] == "probability":
            columns.append(guess.T[-1])
        else:
            columns.append([classes[row.argmax()] for row in guess])
    return [[row[key], *values] for row, *values in zip(test, *columns)]


def validate(data, about, train, names):
    """Print the metric on each fifth row of the training data, by a blend of the others."""
    sys.path.insert(0, str(data))
    from competition_metrics import grade_files

    header = about["columns"]
    held = train[::5]
    apart = {row[header[0]] for row in held}
    rest = [row for row in train if row[header[0]] not in apart]
    if about["label"]:
        truth = [[r[header[0]], *(int(r[about["label"]] == t) for t in header[1:])] for r in held]
    else:
        truth = [[row[name] for name in header] for row in held]
    write("validation_answers.csv", header, truth)
    write("validation.csv", header, answers(about, rest, held, names))
    score = grade_files(Path("validation.csv"), Path("validation_answers.csv"), about["metric"])
    print(f"validation score: {score}")


def main(data):
    about = json.loads((data / "competition.json").read_text(encoding="utf-8"))
    if not (data / "train.csv").is_file() or not (data / "test.csv").is_file():
        shutil.copyfile(data / about["sample_submission"], "submission.csv")
        return
    train, test = read(data / "train.csv"), read(data / "test.csv")
    names = [name for name in test[0] if name != about["columns"][0]]
    write("submission.csv", about["columns"], answers(about, train, test, names))
    validate(data, about, train, names)


main(Path(sys.argv[1]))
