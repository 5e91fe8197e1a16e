"""The image in which agents work and candidates run: how it is built, which ones there are.

`build` works from any base image a registry has, or from `debootstrap`: a root file system made
from this machine's apt mirror, for machines that reach no registry.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import docker
import docker.errors
from docker.models.images import Image

from harness.errors import ConfigurationError
from harness.sandbox.config import DEFAULT_IMAGE
from harness.sandbox.docker_client import connect, translated
from harness.sandbox.uids import AGENT_UID

RECIPES = Path(__file__).parent / "images"
DEBOOTSTRAP = "debootstrap"
DEFAULT_BASE = "python:3.12-slim"
RECIPE_LABEL = "harness.image.recipe"
BASE_LABEL = "harness.image.base"
BUILD_TIMEOUT_S = 1800

Report = Callable[[str], None]
"""Takes one line of progress."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """One image that this package built. `current`: made by the recipe of this version."""

    tags: tuple[str, ...]
    id: str
    base: str
    size_bytes: int
    created: str
    current: bool


def recipe_hash(base: str) -> str:
    """Identifies what `build` would make of `base`: changes with the files it is made by."""
    digest = hashlib.sha256(f"{base}\0{AGENT_UID}\0".encode())
    names = ["Dockerfile", "debootstrap.sh"] if base == DEBOOTSTRAP else ["Dockerfile"]
    for name in names:
        digest.update((RECIPES / name).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def build(
    base: str = DEFAULT_BASE,
    *,
    tag: str = DEFAULT_IMAGE,
    docker_host: str | None = None,
    force: bool = False,
    report: Report = lambda line: None,
) -> ImageInfo:
    """Build the image unless `tag` already is what the recipe would make. Blocking, minutes.

    Raises:
        SandboxUnavailableError: No daemon answers.
        ConfigurationError: The base cannot be had, or a step of the build failed.
    """
    recipe = recipe_hash(base)
    client = connect(docker_host, timeout_s=BUILD_TIMEOUT_S)
    try:
        with translated("building the image"):
            found = _find(client, tag)
            if found is not None and found.labels.get(RECIPE_LABEL) == recipe and not force:
                report(f"{tag} is up to date")
                return _info(found)
            origin = _bootstrap(client, report) if base == DEBOOTSTRAP else base
            _build_on(client, origin, tag, {RECIPE_LABEL: recipe, BASE_LABEL: base}, report)
            return _info(client.images.get(tag))
    finally:
        client.close()


def installed(docker_host: str | None = None) -> list[ImageInfo]:
    """The images that this package built, newest first.

    Raises:
        SandboxUnavailableError: No daemon answers.
    """
    client = connect(docker_host)
    try:
        with translated("listing images"):
            found = client.images.list(filters={"label": RECIPE_LABEL})
            infos = [_info(image) for image in found]
    finally:
        client.close()
    # The bootstrapped base is only there to be built upon.
    return sorted(
        (info for info in infos if info.base), key=lambda info: info.created, reverse=True
    )


def _bootstrap(client: docker.DockerClient, report: Report) -> str:
    """Import a root file system made by debootstrap, unless it is there; its tag."""
    script = RECIPES / "debootstrap.sh"
    recipe = hashlib.sha256(script.read_bytes()).hexdigest()[:16]
    tag = f"harness-debootstrap:{recipe}"
    if _find(client, tag) is not None:
        return tag
    report("making a root file system with debootstrap (about two minutes)")
    changes = [
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"LABEL {RECIPE_LABEL}={recipe}",
    ]
    repository, _, version = tag.partition(":")
    client.api.import_image_from_stream(_archive(script), repository, version, changes=changes)
    return tag


def _archive(script: Path) -> Iterator[bytes]:
    """What the script writes; when it fails the import breaks off and makes no image."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["bash", os.fspath(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdout is not None
            while block := process.stdout.read(1 << 20):
                yield block
            if process.wait() != 0:
                log.seek(0)
                raise _failed(DEBOOTSTRAP, log.read().decode("utf-8", "backslashreplace"))
        finally:
            process.terminate()
            process.wait()


def _build_on(
    client: docker.DockerClient, origin: str, tag: str, labels: dict[str, str], report: Report
) -> None:
    lines: list[str] = []
    for message in _messages(client, origin, tag, labels):
        line = str(message.get("stream") or message.get("status") or "").strip()
        if "error" in message:
            raise _failed(labels[BASE_LABEL], "\n".join([*lines[-20:], str(message["error"])]))
        if line and "progress" not in message:
            lines.append(line)
            report(line)


def _messages(
    client: docker.DockerClient, origin: str, tag: str, labels: dict[str, str]
) -> Iterator[dict[str, Any]]:
    return cast(
        "Iterator[dict[str, Any]]",
        client.api.build(
            path=os.fspath(RECIPES),
            tag=tag,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs={"BASE": origin, "AGENT_UID": str(AGENT_UID)},
            labels=labels,
        ),
    )


def _failed(base: str, log: str) -> ConfigurationError:
    return ConfigurationError(
        f"the image could not be built from {base}:\n{log.strip()}",
        expected="a base image that the daemon can pull, or --base debootstrap as root on Debian",
        action="correct --base, or see the log above for the step that failed",
    )


def _find(client: docker.DockerClient, tag: str) -> Image | None:
    try:
        return client.images.get(tag)
    except docker.errors.ImageNotFound:
        return None


def _info(image: Image) -> ImageInfo:
    base = image.labels.get(BASE_LABEL, "")
    return ImageInfo(
        tags=tuple(image.tags),
        id=str(image.id),
        base=base,
        size_bytes=int(image.attrs["Size"]),
        created=str(image.attrs["Created"]),
        current=image.labels.get(RECIPE_LABEL) == recipe_hash(base),
    )
