"""What happens to the files of a folder, seen from outside as it happens (Linux, inotify)."""

import ctypes
import os
import select
import struct
from pathlib import Path

_CREATE, _MOVED_TO, _MODIFY, _CLOSE_WRITE, _DELETE = 0x100, 0x80, 0x2, 0x8, 0x200
_MASK = _CREATE | _MOVED_TO | _MODIFY | _CLOSE_WRITE | _DELETE
_IS_FOLDER = 0x40000000
_HEADER = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Changes below a folder: files made, written, closed, renamed, removed."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._descriptor: int = _LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._folders: dict[int, Path] = {}
        self._add(folder)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def changes(self, timeout_s: float) -> list[str]:
        """The paths that changed, relative to the folder, in order; waits for the first."""
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return []
        data = os.read(self._descriptor, 1 << 16)
        found: list[str] = []
        while data:
            watch, mask, _, length = _HEADER.unpack_from(data)
            name = data[_HEADER.size : _HEADER.size + length].rstrip(b"\0").decode()
            data = data[_HEADER.size + length :]
            folder = self._folders.get(watch)
            if folder is None or not name:
                continue
            if mask & _IS_FOLDER and mask & (_CREATE | _MOVED_TO):
                self._add(folder / name)
            found.append(str((folder / name).relative_to(self._root)))
        return found

    def _add(self, folder: Path) -> None:
        """A folder and those that are in it already."""
        watch = _LIBC.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK)
        if watch < 0:
            return  # it is gone again
        self._folders[watch] = folder
        try:
            inside = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
        except OSError:
            return
        for name in inside:
            self._add(folder / name)
