"""The connection to the Docker daemon; its failures as ours."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import docker
import docker.errors
import requests.exceptions
import urllib3.exceptions

from harness.errors import SandboxUnavailableError

DEFAULT_HOST = "unix:///var/run/docker.sock"
API_TIMEOUT_S = 60
_REASON_CHARACTERS = 1000


@contextmanager
def translated(doing: str) -> Generator[None]:
    """Raise what the client raises as `SandboxUnavailableError`."""
    try:
        yield
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise SandboxUnavailableError(f"{doing}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, docker.errors.APIError) and error.explanation:
        return str(error.explanation)[:_REASON_CHARACTERS]
    cause: BaseException | None = error
    while cause is not None:
        # The client wraps "No such file or directory" in four layers of its own.
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def host_address(configured: str | None) -> str:
    """Where the daemon is: what is configured, else DOCKER_HOST, else the usual socket."""
    return configured or os.environ.get("DOCKER_HOST") or DEFAULT_HOST


def connect(
    configured: str | None = None, *, timeout_s: int = API_TIMEOUT_S, connections: int = 10
) -> docker.DockerClient:
    """A client whose every call ends within `timeout_s` without an answer. Blocking.

    Raises:
        SandboxUnavailableError: No daemon answers, or its address is of a kind not supported.
    """
    address = host_address(configured)
    if not address.startswith(("unix://", "tcp://", "http://")) or _wants_tls():
        raise SandboxUnavailableError(
            f"the Docker daemon at {address} is not reached by a socket; forward one: "
            "ssh -NL ./docker.sock:/var/run/docker.sock HOST, DOCKER_HOST=unix://$PWD/docker.sock"
        )
    with translated(f"no Docker daemon answers at {address}"):
        client = docker.DockerClient(
            base_url=address, version="auto", timeout=timeout_s, max_pool_size=connections
        )
        client.ping()
    return client


def _wants_tls() -> bool:
    return bool(os.environ.get("DOCKER_TLS_VERIFY"))
