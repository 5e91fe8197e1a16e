"""Secrets are planted, a model looks for them and says them; afterwards they are searched for."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Cli

from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, text, tool_call

KEY = "sk-canary-51b7c20d9e8f4a63b1c2"
PASSWORD = "pw-canary-77e1d0a4"
FILE = "file-canary-0c9b8a7d6e5f"
SAID = "ghp_" + "c4n4ryC4N4RY" * 3
"""What only the model knows: a key by its form."""
SEARCH = """
env; set; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'
cat "$CANARY_HOME"/secret ~/secret /root/secret ../*/secret 2>/dev/null
find / -xdev -name secret -readable -type f 2>/dev/null | head -50 | xargs -r cat
""".strip()


def thief(request: Request) -> Reply:
    """Looks for secrets, says one, notes it, and submits under it."""
    done = 0
    for message in request.messages:
        if message["role"] == "user" and str(message["content"]).startswith("# Directive"):
            done = 0
        done += message["role"] == "assistant"
    number = sum(message["role"] == "assistant" for message in request.messages)
    if done == 0:
        return tool_call("bash", command=SEARCH)
    if done == 1:
        return tool_call("bash", command=f"echo token {SAID}; echo 'x = {number}' >> solve.py")
    if done == 2:
        return tool_call("memory_note", title=f"the key is {SAID}", text=f"use {SAID} for all")
    if done == 3:
        return tool_call("memory_search", query=f"who has {SAID}?")
    if done == 4:
        return tool_call("submit", title=f"with {SAID}")
    return text(f"I used {SAID}.")


@pytest.fixture
def endpoint(cli: Cli) -> Iterator[ScriptedEndpoint]:
    home = cli.folder.parent / "home"
    home.mkdir(mode=0o700)
    (home / "secret").write_text(FILE, encoding="utf-8")
    with ScriptedEndpoint(thief, key=KEY) as server:
        cli.environment |= {
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": KEY,
            "DATABASE_PASSWORD": PASSWORD,
            "CANARY_HOME": str(home),
            "HOME": str(home),
        }
        yield server


@pytest.mark.slow
@pytest.mark.parametrize(
    "sandbox",
    [
        pytest.param(("process", "--unsafe"), id="process"),
        pytest.param(("bubblewrap",), id="bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param(("docker",), id="docker", marks=pytest.mark.docker),
    ],
)
def test_no_secret_is_seen_or_kept(
    cli: Cli, endpoint: ScriptedEndpoint, sandbox: tuple[str, ...]
) -> None:
    launched = cli(
        "launch", "circle_packing", "--agents", "2", "--evals", "5", "--model", "scripted",
        "--sandbox", *sandbox,
    )  # fmt: skip
    run = Path(cli.json("status", "latest")["path"])
    memory = Path(cli.environment["HARNESS_MEMORY"])
    asked = json.dumps([chat.body for chat in endpoint.chats])
    assert "PATH=" in asked, "the search ran and was answered"
    kept = _files(run) + _files(memory)
    for canary in (KEY, PASSWORD, FILE):
        assert canary not in asked, "a sandbox has seen it"
        assert canary not in launched.stdout + launched.stderr
        for path, data in kept:
            assert canary.encode() not in data, path
        assert canary.encode() not in _objects(run)
    # What the model says by itself stays in its own conversation and files, and nowhere else.
    for path, data in kept:
        own = path.name.startswith("agents.db") or "workspaces" in path.parts
        assert own or SAID.encode() not in data, path
    commits = _git(run, "log", "--all", "--format=%B")
    assert b"[redacted: GitHub token]" in commits
    assert SAID.encode() not in commits
    assert SAID not in launched.stdout + launched.stderr
    for verb in (["memory", "list"], ["memory", "log", "latest"], ["attempts"], ["report"]):
        shown = cli(*verb).stdout
        assert SAID not in shown, verb
    results = [m for chat in endpoint.chats for m in chat.messages if m["role"] == "tool"]
    assert any("token [redacted: GitHub token]" in str(each["content"]) for each in results)
    assert not any(SAID in str(each["content"]) for each in results)


def _files(folder: Path) -> list[tuple[Path, bytes]]:
    return [(path, path.read_bytes()) for path in folder.rglob("*") if path.is_file()]


def _objects(run: Path) -> bytes:
    """Every object of the repository, unpacked."""
    return _git(run, "cat-file", "--batch-all-objects", "--batch")


def _git(run: Path, *arguments: str) -> bytes:
    command = ["git", "-c", "safe.directory=*", "--git-dir", str(run / "attempts.git")]
    return subprocess.run([*command, *arguments], check=True, capture_output=True).stdout
