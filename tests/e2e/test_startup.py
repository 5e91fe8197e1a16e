"""What the command line may load before it has to."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from tests.e2e.conftest import Cli

from harness.cli.commands import all_commands
from harness.cli.main import run

HEAVY = ("chromadb", "openai", "langgraph", "docker", "ray", "numpy", "cyclopts", "rich")
MAX_MODULES = 200
"""A bare interpreter has about 60."""


def test_help_loads_nothing_heavy_and_little_else() -> None:
    code = (
        "import sys\n"
        "from harness.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
        f"assert len(sys.modules) < {MAX_MODULES}, len(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "launch" in done.stdout


@pytest.mark.parametrize("name", [entry.name for entry in all_commands()])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"harness {name}" in capsys.readouterr().out


def test_version_and_unknown_commands(cli: Cli) -> None:
    assert cli("--version").stdout.strip()
    said = cli("lanch", code=2).stderr
    assert "lanch" in said
    assert "Traceback" not in said


def test_entry_points_can_be_imported() -> None:
    for group in ("harness.sandboxes", "harness.agents", "harness.search"):
        for point in entry_points(group=group):
            assert point.load()


def test_doctor_says_what_to_do(cli: Cli) -> None:
    document = cli.json("doctor")
    checks = {check["name"]: check for check in document["checks"]}
    assert {"python", "git", "docker", "bubblewrap", "process", "gpu", "model", "disk"} <= set(
        checks
    )
    assert checks["process"]["state"] == "ok"
    assert checks["model"]["action"]
