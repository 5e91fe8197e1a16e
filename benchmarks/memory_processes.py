"""Eight processes on one memory for a minute: how much they get done, and whether all agrees.

python -m benchmarks.memory_processes [--processes 8] [--seconds 60]
"""

import argparse
import tempfile
from pathlib import Path

from harness.testing.memory_load import agreement, start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"worker{number}" for number in range(options.processes)]
        works = start(folder, names, options.seconds)
        written = sum(len(work.written) for work in works)
        recalls = sum(work.recalls for work in works)
        held = agreement(folder)
        print(
            f"{options.processes} processes, {options.seconds:.0f} s: {written:,} records written "
            f"({written / options.seconds:.0f} a second), {recalls:,} recalls, "
            f"{sum(work.missed for work in works)} own records not found at once"
        )
        print(
            f"afterwards: {held.records:,} records, {held.vectors:,} vectors, {held.words:,} in "
            f"the lexical index, {held.indexed:,} in Chroma; logged: {held.writes_logged:,} "
            f"writes, {held.recalls_logged:,} recalls, {held.uses:,} uses; "
            f"{len(held.wrong)} differences"
        )


if __name__ == "__main__":
    main()
