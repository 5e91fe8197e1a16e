"""The judge's server in a real sandbox: forks of one import, each with an end of its own."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.evaluators.judge_client import JudgeServer, JudgeServerError
from harness.evaluators.judge_files import RUNNER, SERVER
from harness.sandbox.base import ExecEnd, ExecResult, Mount, Sandbox, SandboxSpec
from harness.sandbox.config import SandboxConfig
from harness.sandbox.process import ProcessProvider

Start = Callable[[str], Awaitable[JudgeServer]]
PATIENCE_S = 20.0


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    with TemporaryDirectory() as folder, ThreadPoolExecutor(4) as executor:
        Path(folder).chmod(0o755)
        for program in (RUNNER, SERVER):
            shutil.copyfile(program, Path(folder) / program.name)
        provider = ProcessProvider(SandboxConfig(provider="process"), executor)
        mount = Mount(Path(folder), "/work", read_only=False)
        opened = await provider.create(SandboxSpec("judge", (mount,)))
        yield opened
        await opened.close()
        await provider.close()


@pytest.fixture
async def start(sandbox: Sandbox) -> AsyncGenerator[Start]:
    servers: list[JudgeServer] = []

    async def started(source: str) -> JudgeServer:
        await sandbox.write_file("judge.py", source.encode())
        argv = ["python", "-I", "-B", f"{sandbox.workdir}/{SERVER.name}"]
        argv += [f"{sandbox.workdir}/judge.py", "judge", sandbox.workdir]
        servers.append(JudgeServer(sandbox, argv))
        return servers[-1]

    yield started
    for server in servers:
        await server.close()


def score(ended: ExecResult) -> float:
    assert ended.ok, ended
    found: float = json.loads(ended.stdout)["score"]
    return found


async def test_verdicts_side_by_side_are_of_one_import(start: Start) -> None:
    source = "import os, time\nfirst = os.getpid()\nseen = []\n"
    source += (
        "def judge(outputs, private, seed):\n    seen.append(seed)\n    time.sleep(seed % 3 / 99)"
    )
    source += "\n    return {'score': seed, 'metrics': {'import': first, 'seen': len(seen)}}\n"
    server = await start(source)
    ended = await asyncio.gather(*(server.score("-", seed, PATIENCE_S) for seed in range(30)))
    assert [score(each) for each in ended] == list(range(30))
    metrics = [json.loads(each.stdout)["metrics"] for each in ended]
    assert len({each["import"] for each in metrics}) == 1
    # What one verdict leaves in memory the next one does not see.
    assert {each["seen"] for each in metrics} == {1}


async def test_what_judges_print_is_no_answer(start: Start) -> None:
    source = "import os, sys\ndef judge(outputs, private, seed):\n"
    source += "    print('{\"score\": 9}')\n    os.write(1, b'raw')\n    os.system('echo shell')\n"
    source += "    print('error', file=sys.stderr)\n    return {'score': 1}\n"
    ended = await (await start(source)).score("-", 0, PATIENCE_S)
    assert score(ended) == 1
    assert all(word in ended.stderr for word in (b'{"score": 9}', b"raw", b"shell", b"error"))


@pytest.mark.parametrize(
    ("does", "end"),
    [
        ("time.sleep(60)", ExecEnd.TIMEOUT),
        ("print('x' * 11_000_000)", ExecEnd.OUTPUT_LIMIT),
        ("os._exit(3)", ExecEnd.EXITED),
        ("os.kill(os.getpid(), 9)", ExecEnd.EXITED),
        ("sys.exit(0)", ExecEnd.EXITED),
    ],
)
async def test_one_that_goes_wrong_leaves_others_alone(
    start: Start, does: str, end: ExecEnd
) -> None:
    source = "import os, sys, time\ndef judge(outputs, private, seed):\n"
    source += f"    if seed: {does}\n    return {{'score': 1}}\n"
    server = await start(source)
    bad, good = await asyncio.gather(server.score("-", 1, 1.0), server.score("-", 0, PATIENCE_S))
    assert bad.end is end
    assert b'"score"' not in bad.stdout
    assert score(good) == 1


async def test_an_import_that_fails_is_told_each_time(start: Start) -> None:
    server = await start("raise RuntimeError('no such thing')")
    for _ in range(2):
        ended = await server.score("-", 0, PATIENCE_S)
        assert json.loads(ended.stdout) == {"error": "RuntimeError: no such thing"}
        assert b"no such thing" in ended.stderr


async def test_a_background_process_of_a_judge_holds_up_nobody(start: Start) -> None:
    source = "import os\ndef judge(outputs, private, seed):\n"
    source += "    os.system('setsid sleep 60 &')\n    return {'score': 1}\n"
    server = await start(source)
    async with asyncio.timeout(PATIENCE_S):
        assert score(await server.score("-", 0, PATIENCE_S)) == 1


async def test_a_server_that_dies(start: Start) -> None:
    server = await start("import os\nos._exit(0)")
    with pytest.raises(JudgeServerError):
        await server.score("-", 0, PATIENCE_S)
    assert server.ended


async def test_nonsense_instead_of_outcomes(start: Start) -> None:
    server = await start("import os\nos.write(3, b'x' * 10_000)\nos.close(3)\nos._exit(0)")
    with pytest.raises(JudgeServerError):
        await server.score("-", 0, PATIENCE_S)
