"""Declared packages: met here, built once, or a message that names what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.tasks.environment import (
    COMPLETE,
    cache_folder,
    environment_for,
    installed_here,
    parse_requirements,
    unmet,
)
from harness.testing.evaluator import write_wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes its packages from, with one of them."""
    wheel = write_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel


def test_met_requirements_need_no_environment(tmp_path: Path) -> None:
    assert environment_for(["pydantic>=2", "numpy"], "task.yaml", tmp_path) is None
    assert environment_for(["nothing-at-all; python_version < '3'"], "x", tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_unmet_versions_are_seen() -> None:
    lines = ["pydantic<1", "no-such-package-here", "pydantic>=2"]
    missing = unmet(parse_requirements(lines, "x"), installed_here)
    assert [str(each) for each in missing] == ["pydantic<1", "no-such-package-here"]


@pytest.mark.parametrize("line", ["-r file", "--index-url x", "num py", "numpy>>2", ""])
def test_malformed_requirements(line: str) -> None:
    with pytest.raises(TaskError, match=r"environment\.python\[0\]"):
        parse_requirements([line], "task.yaml: 'environment.python'".strip("'"))


@pytest.mark.slow
def test_built_once_and_kept(tmp_path: Path, index: Path) -> None:
    cache = tmp_path / "cache"
    folder = environment_for(["harness-probe==1.0"], "task.yaml", cache)
    assert folder is not None
    code = "import harness_probe; print(harness_probe.VALUE)"
    found = subprocess.run([folder / "bin" / "python", "-I", "-c", code], capture_output=True)
    assert found.stdout == b"42\n"
    built = (folder / COMPLETE).stat().st_mtime_ns
    index.unlink()
    assert environment_for(["harness-probe==1.0"], "task.yaml", cache) == folder
    assert (folder / COMPLETE).stat().st_mtime_ns == built


@pytest.mark.slow
def test_concurrent_builds_make_one(tmp_path: Path, index: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.tasks.environment import *; "
        f"print(environment_for(['harness-probe'], 'x', Path({str(tmp_path / 'cache')!r})))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)
    ]
    printed = {process.communicate(timeout=120)[0] for process in running}
    assert len(printed) == 1
    assert Path(printed.pop().decode().strip(), COMPLETE).is_file()


@pytest.mark.slow
def test_what_cannot_be_installed_is_named(tmp_path: Path, index: Path) -> None:
    with pytest.raises(TaskError) as caught:
        environment_for(["no-such-package-here>=3"], "task.yaml: 'environment.python'", tmp_path)
    assert "no-such-package-here>=3 cannot be installed" in caught.value.wrong
    assert "pip install 'no-such-package-here>=3'" in caught.value.action
    assert not list(tmp_path.glob(f"*/{COMPLETE}"))


def test_cache_folder_is_configurable(tmp_path: Path) -> None:
    assert cache_folder({"HARNESS_CACHE": str(tmp_path)}) == tmp_path / "environments"
    assert cache_folder({}).name == "environments"
