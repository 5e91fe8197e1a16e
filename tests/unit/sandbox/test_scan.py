"""The scan of a work tree: what it takes, what it refuses and in which words."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SubmissionRefusedError
from harness.sandbox import scan as scan_module
from harness.sandbox.placing import place
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules, scan
from harness.sandbox.tree import TreeFile

RULES = SubmissionRules()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A work tree with one good file."""
    made = tmp_path / "work"
    made.mkdir()
    (made / "solve.py").write_bytes(b"x = 1\n")
    return made


def _write(folder: Path, path: str, data: bytes = b"junk") -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_files_and_executable_bits_in_a_fixed_order(folder: Path) -> None:
    for path in ("b/z.py", "b.py", "a/1", "b/a.py"):
        _write(folder, path, path.encode())
    (folder / "a/1").chmod(0o755)
    (folder / "empty/folder").mkdir(parents=True)

    found = scan(folder, RULES)
    assert list(found) == ["a/1", "b.py", "b/a.py", "b/z.py", "solve.py"]
    assert found["a/1"] == TreeFile(b"a/1", executable=True)
    assert found["b.py"] == TreeFile(b"b.py")


def test_junk_is_left_out_at_any_depth_whatever_gitignore_says(folder: Path) -> None:
    for name in sorted(scan_module.ALWAYS_EXCLUDED):
        _write(folder, f"{name}/x")
        _write(folder, f"sub/{name}")
    _write(folder, "sub/module.pyc")
    _write(folder, ".git/config")
    _write(folder, ".gitignore", b"solve.py\n")

    assert list(scan(folder, RULES)) == [".gitignore", "solve.py"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("**",), (), ["a.py", "data/big.csv", "lib/a.py", "lib/b.txt"]),
        (("*.py",), (), ["a.py", "lib/a.py"]),
        (("/*.py",), (), ["a.py"]),
        (("lib",), (), ["lib/a.py", "lib/b.txt"]),
        (("**",), ("data/", "*.txt"), ["a.py", "lib/a.py"]),
        (("**", "!lib/*.txt"), (), ["a.py", "data/big.csv", "lib/a.py"]),
        (("**",), ("data/", "!data/big.csv"), ["a.py", "lib/a.py", "lib/b.txt"]),
        (("**/.venv/x", "/a.py"), (), ["a.py"]),
    ],
)
def test_include_and_exclude_are_gitignore_patterns(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: list[str]
) -> None:
    for path in ("a.py", "lib/a.py", "lib/b.txt", "data/big.csv", ".venv/x"):
        _write(tmp_path, path)

    assert list(scan(tmp_path, SubmissionRules(include=include, exclude=exclude))) == expected


@pytest.mark.parametrize("pattern", ["!", "", "# comment"])
def test_a_pattern_that_matches_nothing_is_a_mistake(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        SubmissionRules(include=(pattern,))


def _link(folder: Path, target: str) -> None:
    (folder / "entry").symlink_to(target)


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "entry")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # the address of a socket must be short
        server.bind("entry")
        os.chdir(here)


def _hard_link(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"secret")
    (folder / "entry").hardlink_to(secret)


def _nested(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", str(folder / "entry")], check=True, capture_output=True)


def _submodule(folder: Path) -> None:
    _write(folder, "entry/.git", b"gitdir: ../.git/modules/entry\n")


def _bytes_name(folder: Path) -> None:
    _write(folder, os.fsdecode(b"entry\xff"))


def _deep(folder: Path) -> None:
    _write(folder, "entry/" + "d/" * 40 + "x")


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "link to a file outside": (lambda folder: _link(folder, "/etc/passwd"), "symbolic link"),
    "link to a folder outside": (lambda folder: _link(folder, "/etc"), "symbolic link"),
    "link upwards": (lambda folder: _link(folder, ".."), "symbolic link"),
    "link within": (lambda folder: _link(folder, "solve.py"), "symbolic link"),
    "link to nothing": (lambda folder: _link(folder, "nowhere"), "symbolic link"),
    "link to itself": (lambda folder: _link(folder, "entry"), "symbolic link"),
    "pipe": (_fifo, "pipe, a socket or a device"),
    "socket": (_socket, "pipe, a socket or a device"),
    "hard link": (_hard_link, "hard links"),
    "nested repository": (_nested, "repository of its own"),
    "submodule": (_submodule, "repository of its own"),
    "name that is not UTF-8": (_bytes_name, "not UTF-8"),
    "line break": (lambda folder: _write(folder, "entry\n"), "control or invisible"),
    "invisible": (lambda folder: _write(folder, "entry\u202e.py"), "control or invisible"),
    "backslash": (lambda folder: _write(folder, "entry\\x"), "backslash"),
    "git name": (lambda folder: _write(folder, "entry/.Git/config"), "git keeps"),
    "git short name": (lambda folder: _write(folder, "entry/git~1"), "git keeps"),
    "submodules file": (lambda folder: _write(folder, "entry/.gitmodules"), "git keeps"),
    "attributes": (lambda folder: _write(folder, "entry/.gitattributes", b"x" * 9999), "no line"),
    "deep": (_deep, "32 folders deep"),
    "long path": (lambda folder: _write(folder, "entry/" + ("d" * 200 + "/") * 6 + "x"), "1024"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_cannot_be_recorded_is_refused_with_path_and_advice(folder: Path, name: str) -> None:
    make, why = HOSTILE[name]
    make(folder)

    with pytest.raises(SubmissionRefusedError, match=why) as refused:
        scan(folder, RULES)
    message = str(refused.value)
    assert message.startswith("'entry")
    assert message.isprintable()
    assert "delete" in message or "copy" in message


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"deep"}))
def test_what_the_rules_leave_out_may_be_anything(folder: Path, name: str) -> None:
    HOSTILE[name][0](folder)

    assert list(scan(folder, SubmissionRules(include=("solve.py",)))) == ["solve.py"]
    assert list(scan(folder, SubmissionRules(exclude=("entry*",)))) == ["solve.py"]


def test_an_excluded_deep_tree_is_not_entered(folder: Path) -> None:
    _deep(folder)

    assert list(scan(folder, SubmissionRules(exclude=("entry/",)))) == ["solve.py"]


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (SubmissionRules(max_file_bytes=9), r"'c' .* has 10 bytes, 9 are allowed"),
        (SubmissionRules(max_files=2), r"'c' .* more than 2 files"),
        (SubmissionRules(max_bytes=29), r"'c' .* more than 29 bytes"),
    ],
)
def test_sizes_and_counts_are_capped(tmp_path: Path, rules: SubmissionRules, why: str) -> None:
    for path, size in (("a", 9), ("b", 9), ("c", 10)):
        _write(tmp_path, path, b"x" * size)
    if rules.max_bytes == 29:
        _write(tmp_path, "b", b"x" * 11)
        rules = SubmissionRules(max_bytes=29, max_file_bytes=20)

    with pytest.raises(SubmissionRefusedError, match=why):
        scan(tmp_path, rules)
    assert len(scan(tmp_path, SubmissionRules(max_files=3, max_bytes=30, max_file_bytes=11))) == 3


def test_a_huge_file_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    opened: list[str] = []
    plain_open = os.open

    def logged(path: str, *args: object, **more: object) -> int:
        opened.append(str(path))
        return plain_open(path, *args, **more)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(os, "open", logged)
    with pytest.raises(SubmissionRefusedError, match="'huge'"):
        scan(folder, RULES)
    assert "huge" not in opened


def test_the_number_of_entries_looked_at_is_capped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "MAX_ENTRIES", 20)
    for number in range(21):
        (folder / f"folder{number}").mkdir()

    with pytest.raises(SubmissionRefusedError, match="more than 20 files and folders"):
        scan(folder, RULES)


def test_nothing_to_submit(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SubmissionRefusedError, match="nothing to submit"):
        scan(tmp_path, RULES)


def test_hard_links_are_accepted_in_a_users_own_folder(folder: Path) -> None:
    _hard_link(folder)

    assert scan(folder, RULES, hard_links=True)["entry"] == TreeFile(b"secret")


def test_the_folder_itself_is_no_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(NotADirectoryError):
        scan(tmp_path / "link", RULES)
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "missing", RULES)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("path", ["entry", "entry/below"])
def test_what_is_not_readable_is_refused(folder: Path, path: str) -> None:
    _write(folder, path)
    (folder / "entry").chmod(0)
    folder.parent.chmod(0o755)
    refusals: list[str] = []

    def as_nobody() -> None:
        # The user id of one thread only: the kernel keeps it per thread, libc's wrapper does not.
        _set_thread_uid(65534)
        try:
            scan(Path(), RULES)
        except SubmissionRefusedError as refused:
            refusals.append(str(refused))

    here = Path.cwd()
    os.chdir(folder)
    thread = threading.Thread(target=as_nobody)
    thread.start()
    thread.join()
    os.chdir(here)
    assert len(refusals) == 1
    assert refusals[0].startswith("'entry' cannot be submitted: it is not readable; chmod")


def _set_thread_uid(uid: int) -> None:
    import ctypes
    import platform

    number = {"x86_64": 117, "aarch64": 147}[platform.machine()]  # setresuid
    if ctypes.CDLL(None, use_errno=True).syscall(number, uid, uid, uid):
        raise OSError(ctypes.get_errno(), "setresuid")


@pytest.mark.parametrize("change", ["grow", "shrink", "touch", "swap"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The change happens between the look at the folder and the opening of the file."""
    target = folder / "solve.py"
    plain_open = os.open

    def racing(path: str, *args: object, **more: object) -> int:
        if str(path) == "solve.py":
            if change == "swap":
                target.unlink()
                os.mkfifo(target)  # opening it must not wait for a writer
            elif change == "touch":
                os.utime(target, ns=(1, 1))
            else:
                target.write_bytes(b"y" * (100 if change == "grow" else 1))
        return plain_open(path, *args, **more)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(os, "open", racing)
    with pytest.raises(SubmissionRefusedError, match=r"'solve.py' .* changed while it was read"):
        scan(folder, RULES)


@given(
    files=st.dictionaries(
        st.sampled_from(["a", "b/c", "b/d/e", "b.py", "B/c", "ü/ö", " ", "-x"]),
        st.builds(TreeFile, st.binary(max_size=100), st.booleans()),
        min_size=1,
    )
)
def test_scan_of_a_checkout_is_the_tree(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, TreeFile]
) -> None:
    folder = tmp_path_factory.mktemp("checkout")
    place(folder, files)

    assert scan(folder, RULES) == files


def test_no_program_of_the_work_tree_runs_and_content_stays_as_it_is(tmp_path: Path) -> None:
    """Every place where git would run something for an agent, and what would change content."""
    folder, canary = tmp_path / "work", tmp_path / "canary"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True, capture_output=True)
    program = f"touch {canary}; cat"
    with (folder / ".git/config").open("a") as config:
        config.write(
            f"[core]\n\tfsmonitor = {program}\n\thooksPath = hooks\n\tautocrlf = true\n"
            f'[filter "x"]\n\tclean = {program}\n\tsmudge = {program}\n\trequired = true\n'
            f'[diff "x"]\n\ttextconv = {program}\n\tcommand = {program}\n'
        )
    for hook in ("pre-commit", "post-commit", "post-checkout", "post-index-change"):
        for place_of_hooks in (folder / "hooks", folder / ".git/hooks"):
            script = _write(place_of_hooks, hook, f"#!/bin/sh\ntouch {canary}\n".encode())
            script.chmod(0o755)
    _write(folder, ".git/info/exclude", b"*\n")
    _write(folder, ".git/objects/info/alternates", b"/somewhere/else/objects\n")
    _write(folder, ".gitattributes", b"* text eol=crlf ident filter=x diff=x\n")
    _write(folder, ".gitignore", b"*\n")
    content = b"a\r\nb\n$Id$\n\xff"
    _write(folder, "data.txt", content)
    # What is asserted can fail: git itself does run these.
    subprocess.run(["git", "-C", str(folder), "status"], check=False, capture_output=True)
    assert canary.exists()
    canary.unlink()

    repository = Repository.create(tmp_path / "attempts.git")
    tree = repository.write_tree(scan(folder, RULES))
    _write(folder, "data.txt", b"other")
    other = repository.write_tree(scan(folder, RULES))
    repository.set_ref("refs/heads/main", repository.commit(other, [], "x", "agent-1", 1.0))
    repository.diff(tree, other)
    repository.checkout(tree, tmp_path / "out")

    assert (tmp_path / "out/data.txt").read_bytes() == content
    assert (tmp_path / "out/.gitattributes").read_bytes() == (
        folder / ".gitattributes"
    ).read_bytes()
    assert repository.check() == []
    assert not canary.exists()
