"""Root's test run proves the providers for an ordinary user too."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sandbox.interpreter import Interpreter

USER = 65_500
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def scratch() -> Iterator[Path]:
    # Not tmp_path, which lies below a folder that is closed to others.
    folder = Path(tempfile.mkdtemp(prefix="harness-test-"))
    os.chown(folder, USER, USER)
    yield folder
    shutil.rmtree(folder)


def reveal(paths: list[Path]) -> list[str]:
    """Options of bubblewrap that let everybody reach these paths, wherever they lie."""
    closed: set[Path] = set()
    for path in paths:
        for step in reversed((path, *path.parents)):
            if not step.stat().st_mode & stat.S_IXOTH:
                closed.add(step)
                break
    options: list[str] = []
    for folder in sorted(closed):
        options += ["--perms", "0755", "--tmpfs", str(folder)]
    for path in paths:
        if any(path.is_relative_to(folder) for folder in closed):
            for parent in reversed(path.parents[:-1]):
                if any(parent.is_relative_to(folder) for folder in closed):
                    options += ["--perms", "0755", "--dir", str(parent)]
            options += ["--ro-bind", str(path), str(path)]
    return options


@pytest.mark.slow
@pytest.mark.bubblewrap
@pytest.mark.skipif(os.getuid() != 0, reason="the other tests already ran as an ordinary user")
@pytest.mark.parametrize("name", ["process", "bubblewrap"])
def test_the_contract_holds_for_an_ordinary_user(name: str, scratch: Path) -> None:
    paths = [*Interpreter.find(None).prefixes, REPOSITORY]
    ids = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    tests = [f"tests/contract/test_sandbox_{name}.py", "tests/contract/test_sandbox_locations.py"]
    tests += ["-k", name, "-q", "-p", "no:cacheprovider"]
    command = ["bwrap", "--dev-bind", "/", "/", *reveal(paths), "--cap-add", "ALL"]
    command += ["--chdir", str(REPOSITORY), "--", "setpriv", *ids, "--inh-caps=-all", "--"]
    command += [sys.executable, "-m", "pytest", *tests, "--basetemp", str(scratch / "base")]
    environment = {**os.environ, "HOME": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=290, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 50
