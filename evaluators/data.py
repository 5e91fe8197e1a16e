"""A task's data set: where sandboxes have it, and commands that name the place."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.sandbox.base import Mount
from harness.tasks.base import Task

DATA = "/data"
"""Where candidates and agents see the task's data set."""
SAMPLE = "/sample"
"""And where a small part of it."""


def data_mounts(task: Task) -> tuple[Mount, ...]:
    """What a sandbox of an agent or a candidate is given of the task's data, read-only."""
    data = task.file.environment.data
    if data is None:
        return ()
    whole = Mount(Path(data.path), DATA)
    return (whole,) if data.sample is None else (whole, Mount(Path(data.sample.path), SAMPLE))


def data_places(task: Task, place: Callable[[str], str]) -> Mapping[str, str]:
    """The words of a command that stand for folders of data; `place` is `Sandbox.path`."""
    names = {DATA: "{data}", SAMPLE: "{sample}"}
    return {names[mount.target]: place(mount.target) for mount in data_mounts(task)}


def with_data(command: Sequence[str], places: Mapping[str, str]) -> tuple[str, ...]:
    """`command` with the places of data for their names."""
    words = list(command)
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    return tuple(words)
