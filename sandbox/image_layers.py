"""An image made of another one for one task: with the packages it declares, and its set-up run.

The daemon keeps what was built; a tag made of the base's id and of all that went in finds it again.
"""

import hashlib
import io
import json
import os
import shlex
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors

from harness.errors import SandboxUnavailableError, TaskError
from harness.sandbox.docker_client import connect, translated

REPOSITORY = "harness-task"
BUILD_TIMEOUT_S = 3600
PASSED_ON = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""Of the environment, for the time of the build: where packages come from."""
MAX_WHEELS_BYTES = 512 * 1024**2
"""More are not sent to the daemon."""
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Layer:
    """What is put on top of an image: requirements as for pip, then shell commands.

    The commands run as root in a copy of `files` (contents by path), with a network.
    """

    requirements: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    files: Mapping[str, bytes] | None = None


def build_layer(base: str, layer: Layer, where: str, docker_host: str | None = None) -> str:
    """The tag of an image with `layer` on top of `base`. Blocking; minutes the first time.

    Args:
        where: File and key that ask for it, for messages.

    Raises:
        TaskError: A step of it fails; has the end of what was printed.
        SandboxUnavailableError: The daemon does not answer, or has no such base.
    """
    client = connect(docker_host, timeout_s=BUILD_TIMEOUT_S)
    try:
        with translated("building an image for the task"):
            try:
                origin = client.images.get(base)
            except docker.errors.ImageNotFound:
                raise SandboxUnavailableError(
                    f"the image {base} is missing; build it: harness image build"
                ) from None
            tag = f"{REPOSITORY}:{_digest(str(origin.id), layer)}"
            if not client.images.list(name=tag):
                _build(client, base, tag, layer, where)
            return tag
    finally:
        client.close()


def _digest(origin: str, layer: Layer) -> str:
    known = json.dumps([origin, layer.requirements, layer.setup])
    digest = hashlib.sha256(known.encode())
    for name, data in sorted((layer.files or {}).items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return digest.hexdigest()[:24]


def _build(client: Any, base: str, tag: str, layer: Layer, where: str) -> None:
    lines: list[str] = []
    arguments = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    messages = client.api.build(
        fileobj=io.BytesIO(_context(base, layer, sorted(arguments))),
        custom_context=True,
        tag=tag,
        rm=True,
        forcerm=True,
        decode=True,
        buildargs=arguments,
        # The host's: a daemon may have no network of its own, and an index may be on this machine.
        network_mode="host",
    )
    for message in messages:
        lines.append(str(message.get("stream") or message.get("error") or "").strip())
        if "error" in message:
            shown = "\n".join(line for line in lines[-15:] if line)
            raise TaskError(
                f"{where}: the image could not be built from {base}:\n{shown}",
                expected="packages that an index has, and commands that end well",
                action="set PIP_INDEX_URL, correct the task, or name an image that has all of it "
                "as 'environment.image'",
            )


def _context(base: str, layer: Layer, arguments: Sequence[str]) -> bytes:
    """The build's files: Dockerfile, the task's files, certificates, and pip where that is here."""
    files: dict[str, bytes] = {f"files/{n}": data for n, data in (layer.files or {}).items()}
    certificates = next((os.environ[n] for n in CERTIFICATES if os.environ.get(n)), None)
    if certificates and Path(certificates).is_file():
        files["certificates.pem"] = Path(certificates).read_bytes()
    files |= _own_pip() | _wheels()
    files["Dockerfile"] = _dockerfile(base, layer, arguments, "certificates.pem" in files).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _own_pip() -> dict[str, bytes]:
    """This interpreter's pip, pure Python: for images that have none."""
    for place in map(Path, sys.path):
        if (place / "pip" / "__main__.py").is_file():
            return {
                f"own/{path.relative_to(place).as_posix()}": path.read_bytes()
                for path in (place / "pip").rglob("*")
                if path.is_file() and path.suffix != ".pyc"
            }
    return {}


def _wheels() -> dict[str, bytes]:
    """The wheels of PIP_FIND_LINKS where that is a folder: for machines without an index."""
    found: dict[str, bytes] = {}
    for word in os.environ.get("PIP_FIND_LINKS", "").split():
        folder = Path(word.removeprefix("file://"))
        sizes = {path: path.stat().st_size for path in folder.glob("*.whl")}
        if sum(sizes.values()) <= MAX_WHEELS_BYTES:
            found |= {f"wheels/{path.name}": path.read_bytes() for path in sizes}
    return found


def _dockerfile(base: str, layer: Layer, arguments: Sequence[str], certificates: bool) -> str:
    steps = [
        "set -eu",
        "python -m pip --version >/dev/null 2>&1 || export PYTHONPATH=/harness-layer/own",
        "export PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1",
    ]
    if certificates:
        steps.append("export PIP_CERT=/harness-layer/certificates.pem")
    steps.append("mkdir -p /harness-layer/wheels /harness-layer/files")
    steps.append("export PIP_FIND_LINKS=/harness-layer/wheels")
    if layer.requirements:
        steps.append(f"python -m pip install --no-input {shlex.join(layer.requirements)}")
    if layer.setup:
        steps.append("cd /harness-layer/files")
        steps += [f"sh -c {shlex.quote(command)}" for command in layer.setup]
    steps += ["cd /", "rm -rf /harness-layer"]
    # As a list: then no step is read by Docker's own syntax.
    run = json.dumps(["sh", "-c", "\n".join(steps)])
    lines = [f"FROM {base}", *(f"ARG {name}" for name in arguments), "USER 0"]
    return "\n".join([*lines, "COPY . /harness-layer", f"RUN {run}", ""])
