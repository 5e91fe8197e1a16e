"""Trees into a workspace and out of it, by both transports, with an agent that plays foul."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.sandbox.folder_sandbox import RULES, SEED, FolderSandbox

from harness.errors import SubmissionRefusedError
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules, scan
from harness.sandbox.tree import TreeFile
from harness.sandbox.workspace import Workspace

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
