"""Local sandboxes run an interpreter and show folders wherever these lie on the host."""

import asyncio
import os
import shutil
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.sandbox.base import Guarantee, Mount, SandboxProvider, SandboxSpec
from harness.sandbox.bubblewrap import BubblewrapProvider
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider

PATIENCE_S = 60.0
PROVIDERS: dict[str, Callable[[SandboxConfig, Executor], SandboxProvider]] = {
    "process": ProcessProvider,
    "bubblewrap": BubblewrapProvider,
}
PLACES = ["/tmp", "/var/tmp", str(Path.home()), "/home", "/opt", "/usr/local", "/dev/shm", "/srv"]

# Every place a command may write to, and what it was given to read.
SCRIPT = """
import os, sys
for folder in (os.environ["TMPDIR"], os.environ["HOME"], "."):
    open(os.path.join(folder, "made"), "w").close()
print(ascii(sys.prefix), open(sys.argv[1]).read())
"""


@pytest.fixture(
    params=["process", pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)], scope="module"
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def provider(name: str) -> AsyncIterator[SandboxProvider]:
    with ThreadPoolExecutor(2) as executor:
        provider = PROVIDERS[name](SandboxConfig(provider=name), executor)
        yield provider
        await provider.close()


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A new folder in the place, closed to others, its name not plain."""
    parent = Path(getattr(request, "param", "/tmp"))
    if not os.access(parent, os.W_OK):
        pytest.skip(f"{parent} cannot be written by this user")
    folder = Path(tempfile.mkdtemp(prefix="harness-tëst 1-", dir=parent))
    yield folder
    shutil.rmtree(folder)


def make_environment(folder: Path) -> Path:
    venv.create(folder, symlinks=True)
    return folder


async def check(provider: SandboxProvider, place: Path, environment: Path) -> None:
    for name in ("data", "work"):
        (place / name).mkdir()
    (place / "data" / "given").write_text("given", encoding="utf-8")
    (place / "data").chmod(0o755)
    mounts = (Mount(place / "data", "/data"), Mount(place / "work", "/work", read_only=False))
    sandbox = await provider.create(SandboxSpec("produce", mounts, python=environment))
    try:
        words = ["python3", "-c", SCRIPT, f"{sandbox.path('/data')}/given"]
        result = await sandbox.exec(words, timeout_s=PATIENCE_S)
    finally:
        await sandbox.close()
    assert result.ok, result
    assert result.stdout.decode().strip() == f"{str(environment)!a} given"
    assert (place / "work" / "made").exists()


@pytest.mark.parametrize("place", PLACES, indirect=True)
async def test_the_place_does_not_matter(provider: SandboxProvider, place: Path) -> None:
    await check(provider, place, make_environment(place / "below" / "environment"))


@pytest.mark.parametrize("place", ["/tmp", "/usr/local", "/srv"], indirect=True)
async def test_the_environment_itself_may_be_closed_to_others(
    provider: SandboxProvider, place: Path
) -> None:
    await check(provider, place, make_environment(place))


@pytest.mark.parametrize("place", ["/tmp", "/srv"], indirect=True)
async def test_links_may_lead_to_environment_and_base(
    provider: SandboxProvider, place: Path
) -> None:
    base = place / "base"
    base.symlink_to(sys.base_prefix)
    words = ("-m", "venv", "--without-pip", place / "real" / "there")
    made = await asyncio.create_subprocess_exec(base / "bin" / "python3", *words)
    assert await made.wait() == 0
    (place / "link").symlink_to("real")
    await check(provider, place, place / "link" / "there")


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp"], indirect=True)
async def test_the_sandboxes_own_folders_may_lie_anywhere(
    provider: SandboxProvider, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "real").mkdir()
    (place / "link").symlink_to("real")
    monkeypatch.setattr(tempfile, "tempdir", str(place / "link"))
    await check(provider, place, make_environment(place / "environment"))
    assert list((place / "real").iterdir()) == []


@pytest.mark.parametrize(
    "harm",
    ["rm -rf {}", "mv {} {}-gone && ln -s /etc {}", "mv {} {}-gone && touch {}", "chmod 0 {}"],
    ids=["removed", "linked", "a-file", "closed"],
)
async def test_commands_cannot_spoil_the_place_for_those_after_them(
    provider: SandboxProvider, place: Path, harm: str
) -> None:
    if Guarantee.HOST_FILES in (await provider.describe()).not_enforced:
        pytest.skip("the provider does not enforce here: host files")
    environment = make_environment(place / "environment")
    sandbox = await provider.create(SandboxSpec("produce", (), python=environment))
    try:
        quoted = f"'{place}'"
        await sandbox.exec(["sh", "-c", harm.replace("{}", quoted)], timeout_s=PATIENCE_S)
        result = await sandbox.exec(["python3", "-c", "print(1)"], timeout_s=PATIENCE_S)
    finally:
        await sandbox.close()
    assert result.stdout == b"1\n", result
    assert (environment / "pyvenv.cfg").exists()
