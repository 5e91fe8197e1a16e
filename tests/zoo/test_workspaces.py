"""Every trap in a workspace: refused in words, or recorded as it is; nothing runs outside."""

from collections.abc import AsyncGenerator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.zoo.conftest import LEFT_ON_HOST, LIMITS, SANDBOXES, open_provider
from tests.zoo.workspaces import TRAPS, Trap

from harness.errors import SubmissionRefusedError
from harness.sandbox.base import Mount, SandboxProvider, SandboxSpec
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules
from harness.sandbox.tree import TreeFile
from harness.sandbox.workspace import Workspace

SEED = {"solve.py": TreeFile(b"print(1)\n"), "note.txt": TreeFile(b"one\n")}


@pytest.fixture
def executor() -> Executor:
    return ThreadPoolExecutor(4)


@pytest.fixture(params=SANDBOXES)
async def provider(
    request: pytest.FixtureRequest, executor: Executor
) -> AsyncGenerator[SandboxProvider]:
    opened = open_provider(request.param, executor)
    yield opened
    await opened.close()
    executor.shutdown()


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
async def test_workspace(
    provider: SandboxProvider,
    executor: Executor,
    trap: Trap,
    request: pytest.FixtureRequest,
    results: dict[str, dict[str, str]],
) -> None:
    with TemporaryDirectory() as folder:
        base = Path(folder)
        base.chmod(0o711)
        (base / "work").mkdir()
        mount = Mount(base / "work", "/work", read_only=False)
        sandbox = await provider.create(SandboxSpec("agent", (mount,), limits=LIMITS))
        repository = Repository.create(base / "attempts.git")
        rules = SubmissionRules(max_bytes=32 << 20)
        workspace = Workspace(
            sandbox,
            repository,
            rules,
            folder=base / "work" if provider.shares_files else None,
            owner=provider.owner,
            executor=executor,
        )
        try:
            tree = repository.write_tree(SEED)
            await workspace.load(tree)
            ended = await sandbox.exec(["sh", "-c", trap.script], timeout_s=30)
            assert ended.ok, ended
            if trap.refused:
                with pytest.raises(SubmissionRefusedError, match=r"submitted|files|bytes"):
                    await workspace.snapshot()
                seen = "refused"
            else:
                recorded = repository.files(await workspace.snapshot())
                recorded.pop("raced.txt", None)  # as far as the writer had come
                expected = SEED | {name: TreeFile(text.encode()) for name, text in trap.tree}
                assert {n: f.data for n, f in recorded.items()} == {
                    n: f.data for n, f in expected.items()
                }
                seen = "recorded as it is"
            # The workspace is as good as new once a tree is put into it.
            await workspace.load(tree)
            assert {n: f.data for n, f in repository.files(await workspace.snapshot()).items()} == {
                n: f.data for n, f in SEED.items()
            }
        finally:
            await sandbox.close()
            repository.close()
    assert not LEFT_ON_HOST.exists()
    results.setdefault(trap.name, {})[request.node.callspec.params["provider"]] = seen
