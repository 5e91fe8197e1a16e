"""Eight processes write, read and credit in one memory; afterwards everything agrees."""

from pathlib import Path

import pytest

from harness.testing.memory_load import agreement, start

PROCESSES = 8
SECONDS = 6.0


@pytest.mark.slow
def test_eight_processes_agree(tmp_path: Path) -> None:
    names = [f"worker{number}" for number in range(PROCESSES)]
    works = start(tmp_path, names, SECONDS)
    written = [record for work in works for record in work.written]
    assert len(set(written)) == len(written)
    assert min(len(work.written) for work in works) > 0, "each gets its turn"
    assert sum(work.missed for work in works) == 0, "what was acknowledged is found at once"
    held = agreement(tmp_path)
    assert held.wrong == []
    assert held.records == held.vectors == held.words == held.writes_logged == len(written)
    assert held.indexed == held.records
    assert held.recalls_logged == sum(work.recalls for work in works)
    assert held.uses == sum(work.found for work in works)
