"""Git objects on disk, written durably and read without starting git.

Format: https://git-scm.com/docs/gitformat-loose and gitformat-tree ("Git Internals", chapter 10).
"""

import hashlib
import os
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import StoreError

ObjectKind = Literal["blob", "tree", "commit", "tag"]

_CHUNK = 16 * 1024
_LONGEST_HEADER = 32
"""Bytes of `blob <size>` and the zero after it, at most."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class TreeEntry(NamedTuple):
    """One entry of a tree object; `mode` is git's: 40000, 100644 or 100755."""

    mode: str
    name: str
    sha: str

    @property
    def is_tree(self) -> bool:
        return self.mode == "40000"


def sync_directory(path: str | Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(temporary: str, final: str, data: bytes, mode: int = 0o644) -> None:
    """Put `data` at `final` in one step; its directory is still to be synced.

    `temporary` lies in the same directory; a stale one is overwritten.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, final)  # noqa: PTH104 (hot path: plain strings)


class ObjectStore:
    """The `objects` folder of a repository.

    New objects are loose files. Packs (made by whoever ran `git gc` on a run) are read through
    gitdb. Alternates are not followed.

    **Threads**: `read` may be called from any; `write` and `sync` from one at a time.
    **Processes**: one may write, any number read. **Durability**: what `write` stored is on disk
    once `sync` returned; a kill in between leaves `tmp_obj_*` files, which git ignores.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._durable: set[str] = set()
        self._unsynced: set[str] = set()
        self._pending: list[str] = []
        self._packs: Any = None
        self._packs_lock = threading.Lock()

    def write(self, kind: ObjectKind, data: bytes) -> str:
        """Store an object unless it is there; returns its hash."""
        raw = b"%s %d\0" % (kind.encode("ascii"), len(data)) + data
        sha = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
        if sha in self._durable:
            return sha
        folder = f"{self._folder}/{sha[:2]}"
        final = f"{folder}/{sha[2:]}"
        if not os.path.exists(final):  # noqa: PTH110 (hot path: plain strings)
            if not os.path.isdir(folder):  # noqa: PTH112
                os.mkdir(folder)  # noqa: PTH102
                self._unsynced.add(self._folder)
            write_durably(f"{folder}/tmp_obj_{sha[2:]}", final, zlib.compress(raw, 1), 0o444)
        # An object that was there may be of a process that was killed before it synced the folder.
        self._unsynced.add(folder)
        self._pending.append(sha)
        return sha

    def sync(self) -> None:
        """Make everything written so far durable."""
        for folder in sorted(self._unsynced):
            sync_directory(folder)
        self._unsynced.clear()
        self._durable.update(self._pending)
        self._pending.clear()

    def read(self, sha: str, kind: ObjectKind) -> bytes:
        """Content of an object.

        Raises:
            StoreError: When it is missing, damaged or of another kind.
        """
        try:
            with open(f"{self._folder}/{sha[:2]}/{sha[2:]}", "rb") as file:  # noqa: PTH123
                raw = zlib.decompress(file.read())
        except FileNotFoundError:
            raw = self._read_packed(sha)
        except (zlib.error, OSError) as error:
            raise StoreError(
                f"git object {sha} in {self._folder} cannot be read: {error}"
            ) from error
        if hashlib.sha1(raw, usedforsecurity=False).hexdigest() != sha:
            raise StoreError(f"git object {sha} in {self._folder} is damaged")
        header, _, data = raw.partition(b"\0")
        if header != b"%s %d" % (kind.encode("ascii"), len(data)):
            raise StoreError(f"git object {sha} in {self._folder} is not a {kind}: {header!r}")
        return data

    def head(self, sha: str, limit: int) -> bytes:
        """The first bytes of a blob, in time and memory that do not depend on its size.

        Not checked against the hash, which is over the whole.

        Raises:
            StoreError: When it is missing or damaged.
        """
        inflated = zlib.decompressobj()
        raw = b""
        try:
            with open(f"{self._folder}/{sha[:2]}/{sha[2:]}", "rb") as file:  # noqa: PTH123
                while len(raw) < limit + _LONGEST_HEADER and (chunk := file.read(_CHUNK)):
                    raw += inflated.decompress(chunk, limit + _LONGEST_HEADER)
        except FileNotFoundError:
            raw = self._read_packed(sha)
        except (zlib.error, OSError) as error:
            raise StoreError(
                f"git object {sha} in {self._folder} cannot be read: {error}"
            ) from error
        return raw.partition(b"\0")[2][:limit]

    def _read_packed(self, sha: str) -> bytes:
        from gitdb.db.pack import PackedDB
        from gitdb.exc import BadObject

        with self._packs_lock:  # gitdb keeps cursors into the packs: one reader at a time
            if self._packs is None:
                self._packs = PackedDB(f"{self._folder}/pack")
            try:
                self._packs.update_cache()
                stream = self._packs.stream(bytes.fromhex(sha))
                kind, data = bytes(stream.type), bytes(stream.read())
            except (BadObject, ValueError, OSError) as error:
                raise StoreError(f"git object {sha} is not in {self._folder}") from error
        return b"%s %d\0" % (kind, len(data)) + data

    def close(self) -> None:
        """Let go of the packs."""
        with self._packs_lock:
            self._packs = None


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    """A tree object; git sorts folders as if their names ended in a slash."""

    def key(entry: TreeEntry) -> bytes:
        return entry.name.encode("utf-8") + (b"/" if entry.is_tree else b"")

    return b"".join(
        b"%s %s\0%s" % (entry.mode.encode(), entry.name.encode("utf-8"), bytes.fromhex(entry.sha))
        for entry in sorted(entries, key=key)
    )


def decode_tree(data: bytes) -> Iterator[TreeEntry]:
    """The entries of a tree object.

    Raises:
        StoreError: When it is malformed.
    """
    at = 0
    try:
        while at < len(data):
            end = data.index(b"\0", at)
            mode, _, name = data[at:end].partition(b" ")
            at = end + 21
            yield TreeEntry(mode.decode("ascii"), name.decode("utf-8"), data[end + 1 : at].hex())
    except ValueError as error:  # UnicodeDecodeError included
        raise StoreError(f"malformed git tree: {error}") from error
