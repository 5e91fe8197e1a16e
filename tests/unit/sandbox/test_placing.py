"""Emptying a folder as an ordinary user, who cannot pass over permissions."""

import ctypes
import os
import platform
import threading
from pathlib import Path

import pytest

from harness.sandbox.placing import clear, place
from harness.sandbox.tree import TreeFile

SETRESUID = {"x86_64": 117, "aarch64": 147}
NOBODY = 65534


def _as_nobody_in(folder: Path, work: "threading.Thread") -> None:
    """Run a thread inside `folder` (its path may be closed to others)."""
    here = Path.cwd()
    os.chdir(folder)
    work.start()
    work.join()
    os.chdir(here)


@pytest.mark.skipif(
    os.geteuid() != 0 or platform.system() != "Linux", reason="needs root to become somebody else"
)
def test_closed_folders_are_opened_and_removed(tmp_path: Path) -> None:
    top = tmp_path / "work"
    (top / "shut/in/deep").mkdir(parents=True)
    (top / "shut/in/file").touch()
    for folder in (top / "shut/in/deep", top / "shut/in", top / "shut", top):
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0)
    tmp_path.chmod(0o777)
    failures: list[BaseException] = []

    def work() -> None:
        # The user id of this thread alone: the kernel keeps one per thread.
        number = SETRESUID[platform.machine()]
        assert ctypes.CDLL(None).syscall(number, NOBODY, NOBODY, NOBODY) == 0
        try:
            clear(Path("work"))
        except BaseException as failure:
            failures.append(failure)

    _as_nobody_in(tmp_path, threading.Thread(target=work))
    assert failures == []
    assert list(top.iterdir()) == []


def test_a_path_that_leaves_the_folder_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a name"):
        place(tmp_path / "work", {"../x": TreeFile(b"")})
    assert list(tmp_path.iterdir()) == []
