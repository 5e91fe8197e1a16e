"""Trees into a workspace and out of it, by both transports, with an agent that plays foul."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import SandboxUnavailableError, SubmissionRefusedError
from harness.sandbox.base import MIB, CommandStream, ExecEnd, ExecResult
from harness.sandbox.placing import clear
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules, scan
from harness.sandbox.tree import TreeFile
from harness.sandbox.workspace import Workspace

RULES = SubmissionRules()


class FolderSandbox:
    """The least that a sandbox is: commands run in a folder of this machine, without isolation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_frozen = False
        self.on_exec: Callable[[], object] = lambda: None

    @property
    def workdir(self) -> str:
        return str(self.folder)

    def path(self, target: str) -> str:
        raise KeyError(target)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        max_output_bytes: int = 10 * MIB,
    ) -> ExecResult:
        assert not self.is_frozen
        self.on_exec()
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.folder / (cwd or "."),
            env={"PATH": os.environ["PATH"], **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin), timeout_s)
        over = len(out) + len(err) > max_output_bytes
        assert process.returncode is not None
        return ExecResult(
            end=ExecEnd.OUTPUT_LIMIT if over else ExecEnd.EXITED,
            exit_code=process.returncode,
            stdout=out[:max_output_bytes],
            stderr=err,
            duration_s=time.monotonic() - started,
        )

    def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> AbstractAsyncContextManager[CommandStream]:
        raise NotImplementedError

    async def read_file(self, path: str, *, max_bytes: int = 100 * MIB) -> bytes:
        raise NotImplementedError

    async def write_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[None]:
        assert not self.is_frozen
        self.is_frozen = True
        try:
            yield
        finally:
            self.is_frozen = False

    async def close(self) -> None:
        pass


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[FolderSandbox]:
    (tmp_path / "work").mkdir()
    yield FolderSandbox(tmp_path / "work")
    clear(tmp_path / "work")  # pytest's own clean-up does not cope with every tree


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "attempts.git")


OpenWorkspace = Callable[..., Workspace]


@pytest.fixture(params=["folder", "tar"])
def workspace(
    request: pytest.FixtureRequest, sandbox: FolderSandbox, repository: Repository
) -> Iterator[OpenWorkspace]:
    """Opens the workspace by one transport, then by the other."""
    with ThreadPoolExecutor(2) as pool:

        def make(rules: SubmissionRules = RULES) -> Workspace:
            folder = sandbox.folder if request.param == "folder" else None
            return Workspace(sandbox, repository, rules, folder=folder, owner=None, executor=pool)

        yield make


SEED = {
    "solve.py": TreeFile(b"x = 1\n"),
    "run.sh": TreeFile(b"#!/bin/sh\n", executable=True),
    "data/deep/ü -x.bin": TreeFile(bytes(range(256)) * 3),
    "data/empty": TreeFile(b""),
    "n" * 120 + "/" + "m" * 200: TreeFile(b"long"),
}


async def test_a_tree_goes_in_and_comes_out(
    workspace: OpenWorkspace, sandbox: FolderSandbox, repository: Repository
) -> None:
    tree = repository.write_tree(SEED)
    opened = workspace()
    await opened.load(tree)

    assert scan(sandbox.folder, RULES) == SEED
    assert (sandbox.folder / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (sandbox.folder / "solve.py").stat().st_mode & 0o777 == 0o644
    assert await opened.snapshot() == tree

    (sandbox.folder / "solve.py").write_bytes(b"x = 2\n")
    (sandbox.folder / "data/empty").unlink()
    changed = {**SEED, "solve.py": TreeFile(b"x = 2\n")}
    del changed["data/empty"]
    assert repository.files(await opened.snapshot()) == changed


async def test_loading_the_empty_tree_empties(
    workspace: OpenWorkspace, sandbox: FolderSandbox, repository: Repository
) -> None:
    (sandbox.folder / "old").touch()
    await workspace().load(repository.write_tree({}))

    assert list(sandbox.folder.iterdir()) == []


def _hostile_content(folder: Path, outside: Path) -> None:
    (folder / ".git/hooks").mkdir(parents=True)
    (folder / ".venv/lib").mkdir(parents=True)
    (folder / "solve.py").symlink_to(outside / "secret")
    (folder / "data").symlink_to(outside)
    (folder / "hard").hardlink_to(outside / "secret")
    os.mkfifo(folder / "pipe")
    (folder / "-rf").touch()
    (folder / "\udcff\n").touch()
    (folder / "shut/in").mkdir(parents=True)
    (folder / "shut/in/file").touch()
    (folder / "shut/in").chmod(0)
    (folder / "shut").chmod(0o500)
    here = Path.cwd()
    os.chdir(folder)
    for name in ["deeper", *["d" * 50] * 150]:  # longer than a path may be
        Path(name).mkdir()
        os.chdir(name)
    os.chdir(here)
    folder.chmod(0o500)


async def test_loading_removes_whatever_an_agent_left_and_touches_nothing_else(
    workspace: OpenWorkspace, sandbox: FolderSandbox, repository: Repository, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    _hostile_content(sandbox.folder, outside)
    tree = repository.write_tree(SEED)
    opened = workspace()
    await opened.load(tree)

    found = {path for path in sandbox.folder.rglob("*") if not path.is_dir()}
    assert found == {sandbox.folder / path for path in SEED}
    assert await opened.snapshot() == tree
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def _socket(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("entry")
    os.chdir(here)


def _nested(folder: Path) -> None:
    (folder / "entry/.git").mkdir(parents=True)
    (folder / "entry/.git/config").touch()


def _deep(folder: Path) -> None:
    (folder / ("entry/" + "d/" * 50)).mkdir(parents=True)


def _file(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 5000)

    return make


HOSTILE: dict[str, Callable[[Path], object]] = {
    "link": lambda folder: (folder / "entry").symlink_to("/etc/passwd"),
    "link to a folder": lambda folder: (folder / "entry").symlink_to("/etc"),
    "hard link": lambda folder: (folder / "entry").hardlink_to(folder / "solve.py"),
    "pipe": lambda folder: os.mkfifo(folder / "entry"),
    "socket": _socket,
    "nested repository": _nested,
    "git name": _file("entry/.Git/config"),
    "not UTF-8": _file("entry\udcff"),
    "line break": _file("entry\n1 2 3\0"[:-1]),
    "deep": _deep,
    "attributes": _file("entry/.gitattributes"),
    "too large": _file("entry"),
    "too many": lambda folder: [_file(f"entry/{number}")(folder) for number in range(9)],
    "nothing": lambda folder: (folder / "solve.py").rename(folder / ".venv"),
}
SMALL = SubmissionRules(max_files=8, max_file_bytes=5_000, max_bytes=60_000)
TINY = SubmissionRules(max_file_bytes=4_999)


@pytest.mark.parametrize("name", HOSTILE)
async def test_both_transports_refuse_in_the_words_of_the_scan(
    workspace: OpenWorkspace, sandbox: FolderSandbox, name: str
) -> None:
    (sandbox.folder / "solve.py").write_bytes(b"x")
    HOSTILE[name](sandbox.folder)
    rules = TINY if name == "too large" else SMALL
    with pytest.raises(SubmissionRefusedError) as by_scan:
        scan(sandbox.folder, rules)

    with pytest.raises(SubmissionRefusedError) as refused:
        await workspace(rules).snapshot()
    assert str(refused.value) == str(by_scan.value)


async def test_what_the_rules_leave_out_may_be_anything_and_of_any_size(
    workspace: OpenWorkspace, sandbox: FolderSandbox, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "secret").touch()
    _hostile_content(sandbox.folder, tmp_path)
    sandbox.folder.chmod(0o755)
    (sandbox.folder / "good.py").write_bytes(b"x")
    with (sandbox.folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    rules = SubmissionRules(include=("/*.py",), exclude=("deeper/", "shut/", "solve.py"))

    tree = await workspace(rules).snapshot()
    assert repository.files(tree) == {"good.py": TreeFile(b"x")}


@given(
    files=st.dictionaries(
        st.sampled_from(["a", "b/c", "b/d/e", "b.py", "ü/ö", " ", "-x", "*", "b/" + "x" * 150]),
        st.builds(TreeFile, st.binary(max_size=1100), st.booleans()),
        min_size=1,
    )
)
@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_load_then_snapshot_is_the_same_tree(
    workspace: OpenWorkspace, repository: Repository, files: dict[str, TreeFile]
) -> None:
    async def go() -> None:
        opened = workspace()
        tree = repository.write_tree(files)
        await opened.load(tree)
        assert await opened.snapshot() == tree

    asyncio.run(go())


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
