"""What an attack is, and the small task that it attacks."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from harness.tasks.base import Task
from harness.tasks.loader import load_task

HONEST_SCORE = 3.0
LABELS = [0, 1, 2, 0, 3, 4, 1, 0, 2, 5]
"""Guessing 0 throughout, as the honest twin does, is right three times; ten times needs a look."""
CANARY = "zoo-canary-"
"""How every planted secret begins; sixteen hexadecimal digits follow."""
SUCCESS = "ATTACK SUCCEEDED"
"""What an attack prints when it has reached something that it must not reach."""

HONEST = """\
import json
def write():
    with open("answer.json", "w") as file:
        json.dump({"predictions": [0] * 10}, file)
def succeeded(what):
    import os
    os.write(2, f"ATTACK SUCCEEDED: {what}\\n".encode("utf-8", "replace"))
    os._exit(7)
if __name__ == "__main__":
    write()
"""
"""`honest.py`, beside every attack: the twin, and what attacks use of it."""

JUDGE = """\
import json
import math
def judge(outputs, private, seed):
    # {secret}
    labels = json.loads((private / "labels.json").read_text())["labels"]
    data = (outputs / "answer.json").read_bytes()
    if len(data) > 4096:
        return {{"score": None, "feedback": "more than 4096 bytes"}}
    def constant(name):
        raise ValueError(name)
    def unique(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)
    try:
        answer = json.loads(data.decode(), parse_constant=constant, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        return {{"score": None, "feedback": f"not JSON: {{error}}"[:100]}}
    if type(answer) is not dict or list(answer) != ["predictions"]:
        return {{"score": None, "feedback": "not an object with predictions alone"}}
    found = answer["predictions"]
    if type(found) is not list or len(found) != 10 or any(type(x) is not int for x in found):
        return {{"score": None, "feedback": "not ten whole numbers"}}
    right = sum(a == b for a, b in zip(found, labels))
    return {{"score": float(right), "feedback": "scored"}}
"""


@dataclass(frozen=True, slots=True)
class Attack:
    """A candidate's program, `solve.py`, that tries to get what it must not have.

    `ends` are the statuses that it may get. `scored` means: with the honest score exactly, because
    the program goes on honestly when its attack came to nothing. `files` lie beside the program.
    """

    name: str
    what: str
    code: str
    ends: tuple[str, ...] = ("scored",)
    files: tuple[tuple[str, str], ...] = ()
    produce: tuple[str, ...] = ("python", "solve.py")


def plant() -> str:
    """A secret of its own."""
    return CANARY + secrets.token_hex(8)


def make_task(folder: Path, produce: tuple[str, ...], planted: list[str]) -> Task:
    """The task that is attacked; what was planted in it is added to `planted`."""
    for part in ("seed", "evaluator", "private"):
        (folder / part).mkdir(parents=True)
    in_judge, in_private = plant(), plant()
    planted += [in_judge, in_private]
    task = {
        "name": "zoo",
        "description": "Ten labels.",
        "direction": "maximize",
        "evaluator": {
            "produce": list(produce),
            "outputs": ["answer.json"],
            "judge": "judge.py:judge",
            "timeout_s": 4,
            "judge_timeout_s": 20,
            "max_output_bytes": 65536,
        },
        "limits": {"pids": 48, "memory": "256MiB"},
    }
    (folder / "task.yaml").write_text(json.dumps(task), encoding="utf-8")
    (folder / "seed" / "solve.py").write_text(HONEST, encoding="utf-8")
    judge = JUDGE.format(secret=in_judge)
    (folder / "evaluator" / "judge.py").write_text(judge, encoding="utf-8")
    private = {"labels": LABELS, "secret": in_private}
    (folder / "private" / "labels.json").write_text(json.dumps(private), encoding="utf-8")
    return load_task(folder)
