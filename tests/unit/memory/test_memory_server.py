"""Several machines share one memory over Chroma's own server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.errors import InfrastructureError
from harness.memory.base import MemoryConfig
from harness.memory.open import open_memory, open_store
from harness.memory.server import sync
from harness.testing.memory import ANNEALING, GRID, OVERLAP, make_query


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HARNESS_MEMORY": str(tmp_path / "served")}
    command = [str(Path(sys.executable).parent / "harness"), "memory", "serve"]
    server = subprocess.Popen(
        [*command, "--port", str(port)], env=environment, start_new_session=True, cwd=tmp_path
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


@pytest.mark.slow
async def test_what_one_machine_writes_the_other_recalls(url: str, tmp_path: Path) -> None:
    left, right = (MemoryConfig(path=str(tmp_path / name), url=url) for name in ("left", "right"))
    with ThreadPoolExecutor(2) as executor:
        memory = await open_memory(left, executor, clock=SystemClock())
        await memory.write(ANNEALING)
        await memory.write(replace(GRID, audience="run"))
        await memory.close()
        memory = await open_memory(right, executor, clock=SystemClock())
        found = await memory.recall(make_query("cooling schedule"))
        assert [each.record for each in found] == [ANNEALING]
        assert (await memory.stats())["records"] == 1, "what is for a run alone stays at home"
        await memory.write(OVERLAP)
        await memory.close()
        memory = await open_memory(left, executor, clock=SystemClock())
        assert len(await memory.records()) == 3
        await memory.close()
    store = open_store(tmp_path / "left")
    row = store.embedder()
    assert row is not None
    assert sync(store, row, url, at=0.0) == {"sent": 0, "taken": 0}
    store.close()


@pytest.mark.slow
async def test_a_server_that_is_away_costs_nothing_but_news(tmp_path: Path) -> None:
    config = MemoryConfig(path=str(tmp_path), url="http://127.0.0.1:9")
    with ThreadPoolExecutor(2) as executor:
        memory = await open_memory(config, executor, clock=SystemClock())
        await memory.write(ANNEALING)
        assert len(await memory.recall(make_query("cooling schedule"))) == 1
        await memory.close()
    store = open_store(tmp_path)
    row = store.embedder()
    assert row is not None
    with pytest.raises(InfrastructureError, match="does not answer"):
        sync(store, row, "http://127.0.0.1:9", at=0.0)
    store.close()
