"""`harness evaluator serve` as another engine meets it: a process that answers HTTP."""

import http.client
import json
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Cli

from harness.tasks.loader import load_task
from harness.testing.evaluator import ANSWER, SECRET, write_task

WAIT_S = 60
PROCESS = ("--sandbox", "process", "--unsafe")


@dataclass
class Server:
    """A server that listens, and its token."""

    process: subprocess.Popen[str]
    port: int
    token: str | None

    def ask(
        self, path: str, body: Any = None, *, token: str | None = None, method: str | None = None
    ) -> tuple[int, Any]:
        """Status and document, with the server's own token unless another is given."""
        shown = self.token if token is None else token
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method or ("GET" if data is None else "POST"), path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self, number: signal.Signals) -> str:
        """End it by a signal; what it said on stderr."""
        self.process.send_signal(number)
        out, said = self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == 0, said
        assert out == ""
        assert "Traceback" not in said
        return said


def serve(cli: Cli, task: str, *arguments: str) -> Server:
    """Start a server and wait until it listens."""
    process = cli.start("evaluator", "serve", task, *PROCESS, "--json", *arguments)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    found = json.loads(line)
    assert found["url"].startswith("http://127.0.0.1:")
    return Server(process, int(found["url"].rpartition(":")[2]), found["token"])


@pytest.fixture
def task(cli: Cli) -> Path:
    """A task whose candidates write a number, which is the score."""
    write_task(cli.folder / "task")
    return cli.folder / "task"


def test_an_engine_spends_its_budget(cli: Cli, task: Path) -> None:
    server = serve(cli, str(task), "--evals", "3")
    status, described = server.ask("/task")
    assert status == 200
    assert described["seed_candidate"] == ANSWER % 1
    assert SECRET not in json.dumps(described)

    _, good = server.ask("/evaluate", {"candidate": ANSWER % 5})
    assert (good["score"], good["info"]["feedback"]) == (5, "judged")
    _, again = server.ask("/evaluate", {"candidate": {"solve.py": ANSWER % 5}})
    assert (again["score"], again["info"]["duplicate"]) == (5, True)
    assert again["budget"]["used"] == 1
    _, broken = server.ask("/evaluate", {"candidate": "raise ValueError('too bad')"})
    assert broken["info"]["status"] == "failed"
    assert "ValueError: too bad" in broken["info"]["feedback"]
    assert broken["score"] < good["score"]

    for path in ("../evaluator/judge.py", "/evaluator/judge.py", ".git/config", "__pycache__/a.py"):
        status, refused = server.ask("/evaluate", {"candidate": {path: "1"}})
        assert status == 400
        assert path in refused["error"]
    assert server.ask("/evaluate", {"candidate": ANSWER % 6}, token="x" * 64)[0] == 401
    assert server.ask("/status")[1]["budget"]["used"] == 2

    _, whole = server.ask("/evaluate_examples", {"candidate": ANSWER % 7})
    assert whole["average_score"] == whole["scores"]["_single"] == 7
    status, spent = server.ask("/evaluate", {"candidate": ANSWER % 8})
    assert (status, spent["budget"]["exhausted"]) == (429, True)
    assert server.ask("/status")[1]["best_score"] == 7

    said = server.end(signal.SIGTERM)
    assert server.token is not None
    assert server.token not in said


def test_parallel_requests_share_slots_verdicts_and_budget(cli: Cli, task: Path) -> None:
    cli.environment["HARNESS_EVALUATOR_TOKEN"] = "the-token-of-the-environment"
    cli.environment["HARNESS_EVALUATORS__SLOTS"] = "2"
    server = serve(cli, str(task), "--evals", "4")
    assert server.token is None
    server.token = "the-token-of-the-environment"
    assert server.ask("/status", token="")[0] == 401

    bodies = [{"candidate": ANSWER % (number % 6)} for number in range(18)]
    with ThreadPoolExecutor(len(bodies)) as threads:
        ends = list(threads.map(partial(server.ask, "/evaluate"), bodies))
    answered = {document["score"] for status, document in ends if status == 200}
    assert len(answered) == 4
    assert {status for status, _ in ends} == {200, 429}
    assert sum(status == 200 for status, _ in ends) == 12
    assert server.ask("/status")[1]["budget"] == {
        "exhausted": True,
        "used": 4,
        "max_evals": 4,
        "remaining_evals": 0,
    }
    server.end(signal.SIGINT)


def test_what_is_under_way_is_cut_off_with_its_processes(cli: Cli, task: Path) -> None:
    server = serve(cli, str(task))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(
            server.ask, "/evaluate", {"candidate": "import time\ntime.sleep(600)\n"}
        )
        while not any("solve.py" in command for command in below(server.process.pid).values()):
            assert not waiting.done(), waiting.result()
            time.sleep(0.05)
        started = below(server.process.pid)
        assert server.ask("/status")[1]["running"] == 1
        said = server.end(signal.SIGTERM)
        status, document = waiting.result()
    assert status == 503
    assert "closed before this was scored" in document["error"]
    assert "closing" in said
    assert {pid: command for pid, command in processes().items() if pid in started} == {}


def test_a_library_task_with_its_own_candidates(cli: Cli) -> None:
    task = load_task("circle_packing")
    server = serve(cli, "circle_packing", "--failed-score", "0")
    _, described = server.ask("/task")
    assert described["direction"] == "maximize"
    _, seed = server.ask("/evaluate", {"candidate": described["seed_candidate"]})
    assert seed["score"] == pytest.approx(1.17)
    honest = task.folder / "honest" / "grid_and_gap" / "solve.py"
    _, good = server.ask("/evaluate", {"candidate": honest.read_text(encoding="utf-8")})
    assert task.file.baseline is not None
    assert good["score"] == pytest.approx(task.file.baseline.value, abs=1e-5)
    _, bad = server.ask("/evaluate", {"candidate": "print('no circles')"})
    assert (bad["score"], bad["info"]["status"]) == (0.0, "invalid")
    assert server.ask("/status")[1]["best_score"] == good["score"]
    server.end(signal.SIGTERM)


def test_what_the_page_tells_people_to_write_works(
    cli: Cli, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluator-serve.md").read_text(encoding="utf-8")
    code = page.split("```python\n", 1)[1].split("```", 1)[0]
    server = serve(cli, str(task))
    monkeypatch.setenv("EVALUATOR_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("HARNESS_EVALUATOR_TOKEN", str(server.token))
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 (our own page)
    score, info = names["evaluator"](ANSWER % 3)
    assert (score, info["feedback"]) == (3, "judged")
    answers = {"/task": names["ask"]("/task"), "/status": names["ask"]("/status")}
    for path, document in answers.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `GET {path}`"))
        told = set(re.findall(r"`(\w+)`", row.split("|")[3]))
        assert told == set(document) - {"train_size", "val_size", "test_size"}
    server.end(signal.SIGTERM)


def below(pid: int) -> dict[int, str]:
    """Command lines of the processes that this one started, and of theirs, by pid."""
    found = processes()
    parents: dict[int, int] = {}
    for each in found:
        with suppress(OSError):  # it ended meanwhile
            stat = Path(f"/proc/{each}/stat").read_text(encoding="utf-8")
            parents[each] = int(stat.rpartition(")")[2].split()[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return {each: found[each] for each in family - {pid} if each in found}


def processes() -> dict[int, str]:
    """Command lines of all processes, by pid; what has ended has none."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if line := (folder / "cmdline").read_bytes():
                found[int(folder.name)] = line.replace(b"\0", b" ").decode("utf-8", "replace")
    return found
