"""What the harness asks of the shim. Types only: the shim itself never imports this module."""

from typing import TypedDict


class Watched(TypedDict):
    """Folders whose content together is bounded."""

    label: str
    folders: list[str]
    max_bytes: int
    max_inodes: int


class View(TypedDict):
    """The file system and network that the command sees; needs root."""

    root: str
    """An empty folder where it is put together."""
    links: list[tuple[str, str]]
    """Where, and what it points to."""
    mounts: list[tuple[str | None, str, str]]
    """Source, target and options, parents first. Something of the host, with `ro` or `rw`; or,
    without a source, a folder in memory."""
    network: bool


class Request(TypedDict):
    argv: list[str]
    env: dict[str, str]
    cwd: str
    timeout_s: float
    uid: int | None
    gid: int | None
    view: View | None
    options: list[str] | None
    """For a program that wraps the command (bubblewrap): read from OPTIONS_FD, NUL-separated. It
    tells on STATUS_FD that the command ran."""
    filter: bytes
    """A program for seccomp that the command gets, by the wrapping program where there is one;
    empty: none."""
    memory_bytes: int
    pids: int
    file_bytes: int
    watched: list[Watched]
