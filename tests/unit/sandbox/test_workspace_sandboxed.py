"""Both transports through a real sandbox: the agent's commands and ours on one work tree."""

from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import SubmissionRefusedError
from harness.sandbox.base import Limits, Mount, Sandbox, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules
from harness.sandbox.tree import TreeFile
from harness.sandbox.workspace import Workspace

SEED = {
    "solve.py": TreeFile(b"x = 1\n"),
    "run.sh": TreeFile(b"#!/bin/sh\necho ran\n", executable=True),
    "data/" + "n" * 150 + "/ü": TreeFile(b"\0\xff" * 1000),
}


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
async def provider(executor: Executor) -> AsyncGenerator[ProcessProvider]:
    opened = ProcessProvider(SandboxConfig(), executor)
    yield opened
    await opened.close()


@pytest.fixture
async def sandbox(provider: ProcessProvider, tmp_path: Path) -> AsyncGenerator[Sandbox]:
    (tmp_path / "work").mkdir()
    mount = Mount(tmp_path / "work", "/work", read_only=False)
    opened = await provider.create(
        SandboxSpec("agent", (mount,), limits=Limits(inodes=1000, pids=64))
    )
    yield opened
    await opened.close()


@pytest.fixture(params=["folder", "tar"])
def workspace(
    request: pytest.FixtureRequest,
    provider: ProcessProvider,
    sandbox: Sandbox,
    repository: Repository,
    executor: Executor,
    tmp_path: Path,
) -> Workspace:
    return Workspace(
        sandbox,
        repository,
        SubmissionRules(),
        folder=tmp_path / "work" if request.param == "folder" else None,
        owner=provider.owner,
        executor=executor,
    )


async def _agent(sandbox: Sandbox, script: str) -> str:
    ended = await sandbox.exec(["/bin/sh", "-ec", script], timeout_s=60.0)
    assert ended.ok, ended
    return ended.text()


async def test_an_agent_works_on_what_was_loaded(
    workspace: Workspace, sandbox: Sandbox, repository: Repository
) -> None:
    tree = repository.write_tree(SEED)
    await workspace.load(tree)
    assert await workspace.snapshot() == tree

    said = await _agent(sandbox, "./run.sh; echo y = 2 >> solve.py; rm -r data; mkdir -p .venv; "
                        "echo junk > .venv/x; printf new > new; chmod +x new")  # fmt: skip
    assert said == "ran\n"
    assert repository.files(await workspace.snapshot()) == {
        "new": TreeFile(b"new", executable=True),
        "run.sh": SEED["run.sh"],
        "solve.py": TreeFile(b"x = 1\ny = 2\n"),
    }


async def test_a_hostile_work_tree_is_refused_then_replaced(
    workspace: Workspace, sandbox: Sandbox, repository: Repository
) -> None:
    tree = repository.write_tree(SEED)
    await workspace.load(tree)
    await _agent(sandbox, "mkdir -p shut/in .git; touch shut/in/x .git/config; mkfifo pipe; "
                 "ln -s /etc/passwd link; rm solve.py; ln -s /etc solve.py; "
                 "chmod 0 shut/in; chmod 500 shut .")  # fmt: skip
    with pytest.raises(SubmissionRefusedError, match=r"'link' .* symbolic link"):
        await workspace.snapshot()

    await workspace.load(tree)
    assert await workspace.snapshot() == tree
    assert await _agent(sandbox, "ls -A") == "data\nrun.sh\nsolve.py\n"
    await _agent(sandbox, "echo still writable > data/x; rm -r data")
