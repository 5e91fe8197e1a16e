"""Docker without being root: an ordinary user in the group that owns the daemon's socket."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

import harness
from harness.sandbox.base import Guarantee
from harness.sandbox.docker_client import host_address

pytestmark = pytest.mark.docker

# What the Docker provider imports beyond the standard library.
NEEDED = (
    "docker",
    "requests",
    "urllib3",
    "idna",
    "certifi",
    "charset_normalizer*",
    "pydantic*",
    "annotated_types",
    "typing_extensions.py",
    "typing_inspection",
)

# Run under another uid, which may reach the daemon's socket by its group only.
AS_USER = """
import asyncio, json, os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from harness.sandbox.base import Mount, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.docker import DockerProvider

async def main():
    folder = Path(sys.argv[1])
    provider = DockerProvider(SandboxConfig(), ThreadPoolExecutor(4))
    found = await provider.describe()
    mounts = (Mount(folder, "/work", read_only=False),)
    sandbox = await provider.create(SandboxSpec("agent", mounts))
    wrote = await sandbox.exec(["sh", "-c", "id -u; mkdir made; echo x > made/f"], timeout_s=60)
    ended = await sandbox.exec(["sh", "-c", "setsid sleep 600 & sleep 600"], timeout_s=0.5)
    await sandbox.write_file("made/by-host", b"y")
    read = await sandbox.exec(["cat", "made/by-host"], timeout_s=60)
    async with sandbox.frozen():
        owner = (folder / "made" / "f").stat().st_uid
    await sandbox.close()
    await provider.close()
    print(json.dumps({
        "uid": os.getuid(), "inside": int(wrote.stdout), "owner": owner, "read": read.text(),
        "ended": ended.end, "not_enforced": found.not_enforced,
    }))

asyncio.run(main())
"""


@pytest.fixture
def reachable_python() -> Iterator[Callable[[int], list[str]]]:
    """Makes a command that runs this interpreter, with its packages, as another uid.

    Copies are made where the originals lie in somebody's private folder.
    """
    copies = Path(tempfile.mkdtemp(prefix="harness-python-"))
    copies.chmod(0o755)

    def make(uid: int) -> list[str]:
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        probe = [*become, sys.executable, "-c", "import docker, harness, pydantic"]
        if subprocess.run(probe, capture_output=True, cwd="/", check=False).returncode == 0:
            return [sys.executable]
        return _copy_python(copies)

    yield make
    shutil.rmtree(copies)


def _copy_python(to: Path) -> list[str]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = Path(sys.base_prefix)
    ignored = shutil.ignore_patterns("test", "__pycache__", "*-packages", "*.a", "config-*")
    shutil.copytree(home / "lib" / version, to / "lib" / version, ignore=ignored)
    for library in (home / "lib").glob("libpython*.so*"):
        shutil.copy2(library, to / "lib")
    (to / "bin").mkdir()
    program = shutil.copy2(Path(sys.executable).resolve(), to / "bin" / "python3")
    packages = to / "packages"
    shutil.copytree(Path(harness.__file__).parent, packages / "harness")
    installed = Path(docker.__file__).parents[1]
    for path in (path for pattern in NEEDED for path in installed.glob(pattern)):
        if path.is_dir():
            shutil.copytree(path, packages / path.name)
        else:
            shutil.copy2(path, packages)
    return ["env", f"PYTHONPATH={packages}", str(program)]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_of_the_docker_group_needs_nothing_else(
    reachable_python: Callable[[int], list[str]],
) -> None:
    uid = 23_456
    socket = Path(host_address(None).removeprefix("unix://"))
    group = socket.stat().st_gid
    folder = Path(tempfile.mkdtemp(prefix="harness-user-"))
    try:
        os.chown(folder, uid, uid)
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={group}"]
        ended = subprocess.run(
            [*become, *reachable_python(uid), "-c", AS_USER, str(folder)],
            env={"DOCKER_HOST": host_address(None), "PATH": os.environ["PATH"]},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout) == {
            "uid": uid,
            "inside": uid,
            "owner": uid,
            "read": "y",
            "ended": "timeout",
            "not_enforced": [Guarantee.USER.value],
        }
    finally:
        shutil.rmtree(folder)
