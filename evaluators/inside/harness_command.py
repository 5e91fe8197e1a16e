"""Runs a task's command and finds its metrics: harness_command.py SPEC PRIVATE WORK SEED.

It runs alone, without the harness, in the candidate's sandbox: the patterns are the task's, but the
text they are matched against is the candidate's, so that whatever a pattern costs is bounded there.
SPEC is JSON: `run`, `evaluator` (a folder), `metric`, `metrics`. The answer on the real standard
output is one JSON document as `one_phase.py` writes it.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

MAX_TEXT_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 2000


class NoMetricError(Exception):
    """The metric is not where it should be; the message says why."""


def tail_of(file: BinaryIO, size: int) -> str:
    """The last bytes of a file, as text."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - size))
    return file.read().decode("utf-8", "replace")


def text_of(source: dict[str, Any], printed: BinaryIO, work: Path) -> tuple[str, str]:
    """Where a metric is looked for, and its text: a file of the tree, or what was printed."""
    name = source.get("file")
    if name is None:
        return "what the command printed", tail_of(printed, MAX_TEXT_BYTES)
    path = work / name
    if not path.is_file() or path.is_symlink():
        raise NoMetricError(f"{name} was not written")
    with path.open("rb") as file:
        return name, tail_of(file, MAX_TEXT_BYTES)


def by_path(text: str, where: str, keys: str) -> Any:
    """The value at a path such as `results.0.loss` in a JSON document, or in the last such line."""
    document: Any = None
    try:
        document = json.loads(text)
    except ValueError:
        for line in reversed(text.splitlines()):
            if line.lstrip()[:1] in ("{", "["):
                try:
                    document = json.loads(line)
                except ValueError:
                    continue
                break
    if document is None:
        raise NoMetricError(f"there is no JSON document in {where}")
    for key in keys.split("."):
        try:
            document = document[int(key) if type(document) is list else key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise NoMetricError(f"there is no {keys!r} in the JSON of {where}") from None
    return document


def found(source: dict[str, Any], printed: BinaryIO, work: Path) -> float:
    """The metric that `source` describes: the last match counts."""
    where, text = text_of(source, printed, work)
    if source.get("json") is not None:
        value = by_path(text, where, source["json"])
    else:
        value = None
        for match in re.finditer(source["regex"], text, re.MULTILINE):
            value = match.group(1)
        if value is None:
            raise NoMetricError(f"nothing in {where} matches {source['regex']!r}")
    if type(value) is bool:
        raise NoMetricError(f"{value!r} in {where} is not a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise NoMetricError(f"{value!r:.80} in {where} is not a number") from None


def evaluate(spec: dict[str, Any], private: str, work: Path, seed: str) -> dict[str, Any]:
    """Run the command; its metrics, or why there are none."""
    places = {"{evaluator}": spec["evaluator"], "{private}": private, "{seed}": seed}
    command = list(spec["run"])
    for place, value in places.items():
        command = [word.replace(place, value) for word in command]
    with tempfile.TemporaryFile() as printed:
        try:
            ended = subprocess.run(
                command,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                check=False,
                env={**os.environ, "HARNESS_SEED": seed},
            )
        except OSError as error:
            return {"error": f"{command[0]} cannot be started: {error.strerror}", "at": "call"}
        end = tail_of(printed, TAIL_BYTES)
        os.write(2, end.encode())
        if ended.returncode:
            code = ended.returncode
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return {"error": f"the command {how}\n{end}", "at": "call"}
        try:
            score = found(spec["metric"], printed, work)
        except NoMetricError as error:
            return {"error": f"{error}\n{end}", "at": "call"}
        metrics: dict[str, float] = {}
        missing: list[str] = []
        for name, source in spec["metrics"].items():
            try:
                value = found(source, printed, work)
            except NoMetricError as error:
                missing.append(f"{name}: {error}")
                continue
            if math.isfinite(value):
                metrics[name] = value
    if not math.isfinite(score):
        return {"score": None, "metrics": metrics, "feedback": f"the metric is {score}"}
    return {"score": score, "metrics": metrics, "feedback": "\n".join(missing)}


def main() -> None:
    """Answer on the real standard output, which the command never has."""
    spec, private, work, seed = sys.argv[1:]
    channel = os.dup(1)
    os.dup2(2, 1)
    answer = evaluate(json.loads(spec), private, Path(work), seed)
    data = json.dumps(answer, allow_nan=False).encode("ascii")
    while data:
        data = data[os.write(channel, data) :]


if __name__ == "__main__":
    main()
