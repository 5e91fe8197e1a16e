"""What each transport does alone: the folder while the sandbox is frozen, tar while it runs."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit.sandbox.folder_sandbox import RULES, SEED, FolderSandbox

from harness.errors import SandboxUnavailableError, SubmissionRefusedError
from harness.sandbox.repository import Repository
from harness.sandbox.scan import scan
from harness.sandbox.tree import TreeFile
from harness.sandbox.workspace import Workspace


async def test_the_sandbox_stands_still_while_its_folder_is_used(
    sandbox: FolderSandbox, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every opening below the folder happens while the sandbox is frozen, and it goes on after."""
    frozen: list[bool] = []
    plain_open = os.open

    def logged(path: str, *args: object, **more: object) -> int:
        if str(path) == "solve.py":
            frozen.append(sandbox.is_frozen)
        return plain_open(path, *args, **more)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(os, "open", logged)
    with ThreadPoolExecutor(1) as pool:
        opened = Workspace(
            sandbox, repository, RULES, folder=sandbox.folder, owner=None, executor=pool
        )
        await opened.load(repository.write_tree(SEED))
        await opened.snapshot()

    assert frozen == [True, True]
    assert not sandbox.is_frozen


async def test_a_cancelled_load_lets_the_sandbox_go_only_when_it_is_done(
    sandbox: FolderSandbox, repository: Repository
) -> None:
    tree = repository.write_tree({f"{n}/{m}": TreeFile(b"") for n in range(30) for m in range(30)})
    with ThreadPoolExecutor(1) as pool:
        opened = Workspace(
            sandbox, repository, RULES, folder=sandbox.folder, owner=None, executor=pool
        )
        loading = asyncio.create_task(opened.load(tree))
        while not sandbox.is_frozen:
            await asyncio.sleep(0)
        loading.cancel()
        while sandbox.is_frozen:
            await asyncio.sleep(0)

        assert scan(sandbox.folder, RULES) == repository.files(tree)
        with pytest.raises(asyncio.CancelledError):
            await loading


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_everything_belongs_to_the_owner(
    sandbox: FolderSandbox, repository: Repository
) -> None:
    with ThreadPoolExecutor(1) as pool:
        opened = Workspace(
            sandbox, repository, RULES, folder=sandbox.folder, owner=(1234, 4321), executor=pool
        )
        await opened.load(repository.write_tree(SEED))

    for path in (sandbox.folder, *sandbox.folder.rglob("*")):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


@pytest.mark.parametrize("change", ["grow", "shrink", "vanish", "become a link", "explode"])
async def test_a_file_that_changes_during_a_tar_snapshot_is_refused(
    sandbox: FolderSandbox, repository: Repository, change: str
) -> None:
    """The change happens after the listing, before the stream."""
    target = sandbox.folder / "solve.py"
    target.write_bytes(b"x" * 100)
    (sandbox.folder / "other").write_bytes(b"y")
    calls: list[int] = []

    def interfere() -> None:
        calls.append(1)
        if len(calls) != 2:
            return
        if change in {"vanish", "become a link"}:
            target.unlink()
        if change == "become a link":
            target.symlink_to("/etc/passwd")
        elif change != "vanish":
            target.write_bytes(b"z" * {"grow": 101, "shrink": 99, "explode": 10**6}[change])

    sandbox.on_exec = interfere
    with ThreadPoolExecutor(1) as pool:
        opened = Workspace(sandbox, repository, RULES, folder=None, owner=None, executor=pool)
        with pytest.raises(SubmissionRefusedError, match="submit again"):
            await opened.snapshot()
    assert len(calls) == 2


async def test_a_file_without_permissions_is_refused_by_tar_as_an_ordinary_user_would_be(
    sandbox: FolderSandbox, repository: Repository
) -> None:
    (sandbox.folder / "entry").write_bytes(b"x")
    (sandbox.folder / "entry").chmod(0o200)
    with ThreadPoolExecutor(1) as pool:
        opened = Workspace(sandbox, repository, RULES, folder=None, owner=None, executor=pool)
        with pytest.raises(SubmissionRefusedError, match=r"'entry' .* not readable; chmod"):
            await opened.snapshot()


async def test_a_broken_sandbox_is_not_the_agents_fault(
    sandbox: FolderSandbox, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sandbox.folder / "solve.py").touch()
    monkeypatch.setenv("PATH", "/nonexistent")
    with ThreadPoolExecutor(1) as pool:
        opened = Workspace(sandbox, repository, RULES, folder=None, owner=None, executor=pool)
        with pytest.raises(SandboxUnavailableError, match="listed"):
            await opened.snapshot()
        with pytest.raises(SandboxUnavailableError, match="replaced"):
            await opened.load(repository.write_tree(SEED))
