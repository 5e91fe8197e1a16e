"""A disk that is full in the middle of a run: it stops and says so; with space again it goes on."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.reading import query
from tests.fault.victim import Victim, check_acknowledged, check_run

pytestmark = pytest.mark.slow

LAUNCH = ("launch", "circle_packing", "--agents", "2", "--sandbox", "process", "--json")
EVALUATIONS = 30
PATIENCE_S = 120.0


class Disk:
    """A small file system, which can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with (self.folder / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    mounted: list[Path] = []

    def mount(name: str) -> Disk:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder], check=True)
        mounted.append(folder)
        folder.chmod(0o755)
        return Disk(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def wait_for_verdicts(victim: Victim, count: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    sql = "SELECT id FROM attempts WHERE verdict IS NOT NULL"
    while not victim.runs or len(query(victim.run, sql)) < count:
        assert process.poll() is None, victim.said()
        assert time.monotonic() < deadline, victim.said()
        time.sleep(0.02)


def three_lines(said: str) -> list[str]:
    lines = [line for line in said.splitlines() if not line.startswith("{")][-3:]
    assert [line.split()[0] for line in lines] == ["error:", "expected:", "to"], said
    return lines


@pytest.mark.parametrize(("name", "wrong"), [("runs", "stopped: "), ("memory", "the memory /")])
def test_the_run_stops_and_a_resume_goes_on(
    tmp_path: Path, disk: Callable[[str], Disk], name: str, wrong: str
) -> None:
    small, victim = disk(name), Victim(tmp_path)
    process = victim.start(*LAUNCH, "--evals", str(EVALUATIONS))
    wait_for_verdicts(victim, 5, process)
    small.fill()
    assert process.wait(PATIENCE_S) == 1, victim.said()
    error, _, action = three_lines(victim.said())
    assert wrong in error
    assert "full" in error
    assert f"harness resume {victim.run}" in action
    read = [victim.ask(verb) for verb in ("status", "attempts", "report")]
    assert [each.returncode for each in read] == [0, 0, 0], "it can be read while the disk is full"
    again = victim.ask("resume", "latest")
    assert again.returncode in (1, 2)
    three_lines(again.stderr)
    small.free()
    snapshot = victim.snapshot()
    assert 5 <= len(snapshot.verdicts) < EVALUATIONS
    process = victim.start("resume", "latest", "--json")
    assert process.wait(PATIENCE_S) == 0, victim.said()
    check_acknowledged(victim)
    check_run(victim, [snapshot], EVALUATIONS)


def test_candidates_do_not_pay_for_a_full_disk(tmp_path: Path, disk: Callable[[str], Disk]) -> None:
    small, victim = disk("tmp"), Victim(tmp_path)
    process = victim.start(*LAUNCH, "--evals", "60")
    wait_for_verdicts(victim, 5, process)
    while not query(victim.run, "SELECT id FROM attempts WHERE status = 'sandbox_lost'"):
        assert process.poll() is None, victim.said()
        small.fill()  # what a sandbox leaves free as well
        time.sleep(0.02)
    small.free()
    assert process.wait(PATIENCE_S) == 0, victim.said()
    check_run(victim, [], 60)
