"""Whether the process that made something is told alive or dead."""

import subprocess
import sys

import pytest

from harness.sandbox.docker_cgroup import Counters, parse_counters
from harness.sandbox.images import DEBOOTSTRAP, recipe_hash
from harness.sandbox.liveness import identity, is_dead


def test_this_process_is_alive() -> None:
    assert not is_dead(identity())


def test_a_process_that_ended_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        other = identity(process.pid)
        assert not is_dead(other)
    assert is_dead(other)
    with pytest.raises(ProcessLookupError):
        identity(process.pid)


def test_a_number_that_is_used_again_is_another_process() -> None:
    *parts, started = identity().split(":")
    assert is_dead(":".join([*parts, str(int(started) + 1)]))


def test_after_a_restart_of_the_machine_all_are_dead() -> None:
    machine, _, *rest = identity().split(":")
    assert is_dead(":".join([machine, "another-boot", *rest]))


@pytest.mark.parametrize("position", [0, 2], ids=["machine", "namespace"])
def test_what_cannot_be_known_is_not_dead(position: int) -> None:
    parts = identity().split(":")
    parts[position] = "other"
    parts[3] = "999999999"
    assert not is_dead(":".join(parts))


@pytest.mark.parametrize("text", ["", "x", "a:b:c:d:e"])
def test_nonsense_is_not_dead(text: str) -> None:
    assert not is_dead(text)


def test_counters_of_both_versions_of_control_groups() -> None:
    first = parse_counters("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "max 8668\n")
    second = parse_counters("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\n", "max 8668\n")
    assert first == second == Counters(oom_kills=3, forks_refused=8668)
    assert parse_counters("", "max\nmax x\n") == Counters()


def test_the_recipe_depends_on_the_base() -> None:
    assert recipe_hash(DEBOOTSTRAP) == recipe_hash(DEBOOTSTRAP) != recipe_hash("python:3.12-slim")
