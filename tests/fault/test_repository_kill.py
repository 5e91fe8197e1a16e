"""A killed writer loses nothing that it had been told was recorded."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.ids import CommitHash
from harness.sandbox.repository import Repository
from harness.sandbox.tree import TreeFile

# Commits for ever; says each ref and commit on standard output once `set_ref` has returned.
ENDLESS = """
import os, sys
from pathlib import Path
from harness.sandbox.repository import Repository, TreeFile
repository = Repository.open(Path(sys.argv[1]))
parents, first = [], len(repository.refs())
for number in range(first, first + 100_000):
    files = {f"{number % 7}/{name}.py": TreeFile(b"%d" % number * 50) for name in "abc"}
    commit = repository.commit(repository.write_tree(files), parents, "x", "agent-1", number)
    repository.set_ref(f"refs/attempts/{number}", commit)
    os.write(1, f"refs/attempts/{number} {commit}\\n".encode())
    parents = [commit]
"""

# Records one attempt again and again, each time in a new repository `n` and in a forked child that
# is killed right before its n-th call that changes the disk, until one gets to its end.
COUNTED = """
import os, signal, sys
from pathlib import Path
from harness.sandbox.repository import Repository, TreeFile

def attempt(repository):
    files = {"a.py": TreeFile(b"1"), "b/c.py": TreeFile(b"2")}
    commit = repository.commit(repository.write_tree(files), [], "x", "agent-1", 1.0)
    repository.set_ref("refs/attempts/0", commit)

def counted(call):
    def run(*arguments, **more):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **more)
    return run

for point in range(1, 1000):
    repository = Repository.create(Path(sys.argv[1], str(point)))
    child = os.fork()
    if not child:
        left = point
        for name in ("open", "mkdir", "write", "fchmod", "fsync", "rename"):
            setattr(os, name, counted(getattr(os, name)))
        attempt(repository)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(point, code, flush=True)
    if code != -signal.SIGKILL:
        break
"""


def _acknowledged(output: bytes) -> dict[str, CommitHash]:
    complete = output[: output.rfind(b"\n") + 1].decode("ascii")
    pairs = (line.split() for line in complete.splitlines())
    return {name: CommitHash(commit) for name, commit in pairs}


def _assert_whole(path: Path, acknowledged: dict[str, CommitHash]) -> None:
    repository = Repository.open(path)
    assert repository.check() == []
    refs = repository.refs()
    assert acknowledged.items() <= refs.items()
    for commit in refs.values():
        assert repository.files(repository.tree_of(commit))
    repository.close()


def test_kill_at_random_moments(tmp_path: Path) -> None:
    moments = random.Random(20)
    path = tmp_path / "attempts.git"
    Repository.create(path).close()
    acknowledged: dict[str, CommitHash] = {}

    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.1))
            writer.send_signal(signal.SIGKILL)
            acknowledged |= _acknowledged(first + writer.stdout.read())
        _assert_whole(path, acknowledged)
    assert len(acknowledged) >= 6


@pytest.mark.slow
def test_kill_at_every_change_to_the_disk(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", COUNTED, str(tmp_path)], capture_output=True, check=True
    )
    points = [tuple(map(int, line.split())) for line in ended.stdout.splitlines()]
    assert len(points) > 30
    assert [code for _, code in points] == [-signal.SIGKILL] * (len(points) - 1) + [0]

    files = {"a.py": TreeFile(b"1"), "b/c.py": TreeFile(b"2")}
    for point, _ in points:
        path = tmp_path / str(point)
        _assert_whole(path, {})
        # The next process does the same again, over whatever the killed one left half done.
        repository = Repository.open(path)
        commit = repository.commit(repository.write_tree(files), [], "x", "agent-1", 1.0)
        repository.set_ref("refs/attempts/0", commit)
        _assert_whole(path, {"refs/attempts/0": commit})
        assert repository.files(repository.tree_of(commit)) == files
