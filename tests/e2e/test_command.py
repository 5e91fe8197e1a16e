"""The `command` agent through the command line: a scripted coding agent in real sandboxes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import Cli

from harness.testing.cli import cli as scripted
from harness.testing.endpoint import ScriptedEndpoint, text

KEY = "sk-test-canary-7f3a"

PROVIDERS = [
    pytest.param(("process", "--unsafe"), id="process"),
    pytest.param(("bubblewrap",), id="bubblewrap", marks=pytest.mark.bubblewrap),
    pytest.param(("docker",), id="docker", marks=pytest.mark.docker),
]
pytestmark = pytest.mark.slow


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(lambda _: text("change a comment"), key=KEY) as server:
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY}
        yield server


@pytest.mark.parametrize("sandbox", PROVIDERS)
def test_a_team_of_external_agents_keeps_to_its_budget(
    cli: Cli, endpoint: ScriptedEndpoint, sandbox: tuple[str, ...]
) -> None:
    command = scripted(
        ["chat", "what now?"],
        ["messages", "and now?", {"stream": True}],
        ["sh", """echo "x = '$(head -c 8 /dev/urandom | od -An -tx1)'" >> solve.py"""],
        ["sh", "harness submit -m 'a comment'; harness board; ls /sys/class/net"],
    )
    settings = {"agent": {"kind": "command", "command": list(command)}}
    (cli.folder / "harness.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = cli.launch(
        "launch", "circle_packing", "--agents", "2", "--evals", "6", "--model", "scripted",
        "--sandbox", *sandbox,
    )[-1]  # fmt: skip
    assert (done["reason"], done["evaluations"]) == ("evaluations", 6)
    attempts = cli.json("attempts", done["run"])["attempts"]
    judged = [attempt for attempt in attempts if attempt["status"] != "duplicate"]
    assert len(judged) == 6
    assert {attempt["title"] for attempt in attempts[1:]} == {"a comment"}
    status = cli.json("status", done["run"])
    assert status["tokens"] == done["tokens"] > 0
    assert len(endpoint.chats) >= 2 * (len(attempts) - 1)
    transcript = cli("transcript", done["run"], attempts[1]["agent"]).stdout
    for words in ("Directive", "change a comment", "submit", "exit code 0"):
        assert words in transcript
    check_no_secret(cli.folder)


def check_no_secret(folder: Path) -> None:
    for path in (folder / "runs").rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
