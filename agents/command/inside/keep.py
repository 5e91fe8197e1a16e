"""Packs a folder to standard output, or unpacks standard input into one: `keep.py save|load PATH`.

It keeps the conversations of a coding agent while its sandbox is replaced by another one.
"""

import contextlib
import io
import os
import sys
import tarfile

LEFT_OUT = {".cache", ".npm", ".bun", "node_modules", "__pycache__", "tmp"}
MARK = ".harness-conversation"


def save(path: str) -> None:
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz") as archive:
        for folder, folders, files in os.walk(path):
            folders[:] = [name for name in folders if name not in LEFT_OUT]
            for name in files:
                file = os.path.join(folder, name)  # noqa: PTH118
                # Read first: a file that grows meanwhile would spoil the archive.
                with contextlib.suppress(OSError):
                    if os.path.islink(file) or not os.path.isfile(file):  # noqa: PTH113, PTH114
                        continue
                    with open(file, "rb") as source:  # noqa: PTH123
                        data = source.read()
                    entry = tarfile.TarInfo(os.path.relpath(file, path))
                    entry.size, entry.mode = len(data), os.stat(file).st_mode & 0o777  # noqa: PTH116
                    archive.addfile(entry, io.BytesIO(data))


def load(path: str) -> None:
    mark = os.path.join(path, MARK)  # noqa: PTH118
    if os.path.exists(mark):  # noqa: PTH110
        return  # the sandbox is still the one that it was saved from
    os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103
    data = sys.stdin.buffer.read()
    if data:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extractall(path)
    with open(mark, "w", encoding="utf-8"):  # noqa: PTH123
        pass


if __name__ == "__main__":
    {"save": save, "load": load}[sys.argv[1]](sys.argv[2])
