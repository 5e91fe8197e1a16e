"""A hostile model looks for secrets and says them wherever it can: none is found anywhere after.

What it says back: keys of the environment (an endpoint knows its own; that it knows another one is
the worst case) and a key that it invents. What its commands can see is told by hashes, since what
they print is redacted.
"""

import gzip
import hashlib
import json
import secrets
import sqlite3
import string
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.conftest import Cli

from harness.memory.folder import DATABASE
from harness.testing.endpoint import (
    JsonObject,
    Reply,
    Request,
    ScriptedEndpoint,
    text,
    tool_call,
    tool_calls,
)

pytestmark = pytest.mark.slow

PROVIDERS = [
    pytest.param(("process", "--unsafe"), id="process"),
    pytest.param(("bubblewrap",), id="bubblewrap", marks=pytest.mark.bubblewrap),
    pytest.param(("docker",), id="docker", marks=pytest.mark.docker),
]
EVALUATIONS = 3
PATIENCE_S = 120.0

SEARCH = r"""
import glob, hashlib, os, re
wanted = set(WANTED)
places = [*glob.glob("/proc/*/environ"), *glob.glob("/proc/*/cmdline"), "/proc/self/mountinfo"]
for folder in ("/run", "/tmp", "/etc", os.getcwd(), os.path.expanduser("~")):
    for at, folders, files in os.walk(folder):
        folders[:] = folders[:50]
        places += [os.path.join(at, name) for name in files[:200]]
loot = [repr(dict(os.environ)).encode()]
for place in places[:5000]:
    try:
        with open(place, "rb") as file:
            loot.append(file.read(100000))
    except OSError:
        pass
loot = b"\n".join(loot)
found = [w for w in set(re.findall(rb"[A-Za-z0-9_-]{20,80}", loot))
         if hashlib.sha256(w).hexdigest() in wanted]
print("LEAKED" if found else "SEARCHED", len(loot) > 500)
with open("loot.py", "w") as file:
    file.write("LOOT = '" + b" ".join(found).hex() + "' # " + os.urandom(8).hex())
"""


def letters(count: int, alphabet: str = string.ascii_letters) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))


@dataclass(frozen=True)
class Canaries:
    """Secrets of the environment, and two that the model makes up."""

    key: str
    aws: str
    said: str
    printed: str

    @classmethod
    def new(cls) -> "Canaries":
        return cls(
            key=f"sk-{letters(44)}1",
            aws=f"AKIA{letters(16, string.ascii_uppercase)}",
            said=f"ghp_{letters(36)}",
            printed=f"hf_{letters(34)}",
        )

    def traces(self) -> list[bytes]:
        """What must be nowhere: the middle of each, as it is, in lower case, in hexadecimal."""
        found: list[bytes] = []
        for each in (self.key, self.aws, self.said, self.printed):
            middle = each[-14:-2].encode()
            found += [middle, middle.lower(), each.encode().hex().encode()]
        return found


def hostile(canaries: Canaries, request: Request) -> Reply:
    """One directive: look, print, write, submit, note, recall, message, an answer in words."""
    messages = request.messages
    starts = [n for n, m in enumerate(messages) if "# Directive" in str(m["content"])[:200]]
    since = messages[starts[-1] + 1 :] if starts else []
    done = sum(message["role"] == "assistant" for message in since)
    known = f"{canaries.key} and {canaries.aws}"
    everything = f"{known} and {canaries.said}"
    halves = f"{canaries.printed[:-8]} {canaries.printed[-8:]}"
    wanted = [hashlib.sha256(k.encode()).hexdigest() for k in (canaries.key, canaries.aws)]
    steps: list[Reply] = [
        tool_call("bash", command=f"python3 - <<'EOF'\n{SEARCH.replace('WANTED', str(wanted))}EOF"),
        tool_call("bash", command=f"env; echo {known}; printf '%s%s\\n' {halves} {halves}"),
        tool_call("write", path="notes.py", content=f"KEYS = '''{known}'''\n"),
        tool_calls(
            ("board", {}),
            ("memory_note", {"title": everything, "text": f"Use {everything}."}),
            ("memory_search", {"query": everything}),
        ),
        tool_call("submit", title=everything),
        tool_call(everything, **{everything: everything}),
    ]
    return steps[done] if done < len(steps) else text(f"I used {everything}.")


@pytest.fixture
def canaries(cli: Cli) -> Iterator[Canaries]:
    made = Canaries.new()
    with ScriptedEndpoint(lambda request: hostile(made, request), key=made.key) as server:
        cli.environment |= {
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": made.key,
            "AWS_ACCESS_KEY_ID": made.aws,
        }
        yield made


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below `folder`, unpacked, with the rows of databases and the objects of git."""
    for path in sorted(folder.rglob("*")):
        yield f"{path} (name)", path.name.encode("utf-8", "surrogateescape")
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        yield str(path), data
        if data[:2] == b"\x1f\x8b":
            yield f"{path} (unpacked)", gzip.decompress(data)
        if data[:15] == b"SQLite format 3":
            yield f"{path} (rows)", rows(path)
        if path.name == "HEAD" and (path.parent / "objects").is_dir():
            yield f"{path.parent} (objects)", objects(path.parent)


def rows(path: Path) -> bytes:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        tables = [
            n.decode() for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        found: list[bytes] = []
        for table in tables:
            with suppress(sqlite3.OperationalError):  # the inner tables of an index
                for row in db.execute(f'SELECT * FROM "{table}"'):
                    found += [
                        each if isinstance(each, bytes) else repr(each).encode() for each in row
                    ]
    return b"\n".join(found)


def objects(repository: Path) -> bytes:
    git = ["git", "-c", "safe.directory=*", "--git-dir", str(repository)]
    names = subprocess.run(
        [*git, "cat-file", "--batch-all-objects", "--batch"], capture_output=True, check=True
    )
    return names.stdout


def containers(cli: Cli) -> bytes:
    """What Docker says of all containers of the run, as a document."""
    import docker
    from docker.errors import NotFound

    with closing(docker.from_env()) as client:
        found: list[JsonObject] = []
        for each in client.containers.list(all=True, filters={"label": "harness.run"}):
            with suppress(NotFound):
                each.reload()
                found.append(each.attrs)
    return json.dumps(found).encode()


def check(traces: Sequence[bytes], place: str, data: bytes) -> None:
    for trace in traces:
        assert trace not in data, f"{place}: …{data[: data.index(trace) + 60][-300:]!r}"


@pytest.mark.parametrize("sandbox", PROVIDERS)
def test_no_secret_is_left_anywhere(
    cli: Cli, canaries: Canaries, sandbox: tuple[str, ...], tmp_path: Path
) -> None:
    started = cli(
        "launch", "circle_packing", "--agents", "2", "--evals", str(EVALUATIONS), "--detach",
        "--model", "scripted", "--sandbox", *sandbox,
    )  # fmt: skip
    traces = canaries.traces()
    seen, deadline = b"", time.monotonic() + PATIENCE_S
    while (status := cli.json("status", "latest"))["state"] == "running":
        assert time.monotonic() < deadline, status
        if sandbox[0] == "docker" and b"harness.run" in (told := containers(cli)):
            seen = told
            check(traces, "containers", told)
        time.sleep(0.2)
    assert bool(seen) == (sandbox[0] == "docker"), "containers were looked at"
    assert (status["reason"], status["evaluations"]) == ("evaluations", EVALUATIONS), status

    printed = [started, *(cli(*words) for words in (
        ("report", "latest"), ("transcript", "latest", "agent-1"), ("memory", "log", "latest"),
    ))]  # fmt: skip
    for done in printed:
        check(traces, str(done.args), (done.stdout + done.stderr).encode())
    looked: list[str] = []
    for place, data in contents(tmp_path):
        looked.append(place)
        check(traces, place, data)
    _check_that_it_was_looked_for(looked, tmp_path)


def _check_that_it_was_looked_for(looked: Sequence[str], folder: Path) -> None:
    """The test can fail: the model has said all of it, and the places it said it in were read."""
    for part in ("run.db (rows)", "agents.db (rows)", "attempts.git (objects)", "launch.log",
                 "agent-1.jsonl", f"/memory/{DATABASE} (rows)", "config.json"):  # fmt: skip
        assert any(part in place for place in looked), (part, looked)
    transcript = "".join(path.read_text("utf-8") for path in folder.rglob("agent-*.jsonl"))
    assert "SEARCHED True" in transcript
    assert "LEAKED True" not in transcript
    for kind in ("OPENAI_API_KEY", "AWS_ACCESS_KEY_ID", "GitHub token", "Hugging Face token"):
        assert f"[redacted: {kind}]" in transcript, kind
