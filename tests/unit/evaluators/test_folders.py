"""Working folders: gone at the end, and gone at the next start when their process was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.evaluators.folders import LOCK, own_folder

OWNER = """
from harness.evaluators.folders import own_folder
with own_folder() as folder:
    (folder / "private").write_text("secret")
    print(folder, flush=True)
    input()
"""


def test_what_a_killed_process_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        left = Path(owner.stdout.readline().decode().strip())
        os.utime(left / LOCK, (0, 0))
        with own_folder() as mine:
            assert left.exists()
        assert not mine.exists()
        owner.kill()
    with own_folder():
        assert not left.exists()
