"""A work tree that can only be reached by running commands in its sandbox.

Reading takes two commands: `find` lists the tree, the rules are applied here to the listing, `tar`
then sends the selected files only. What comes back is data of the agent's making: it is parsed
within bounds, and nothing but the regular files that were asked for is taken from it.
"""

import io
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import SandboxUnavailableError, SubmissionRefusedError
from harness.sandbox.base import MIB, ExecEnd, ExecResult, Sandbox
from harness.sandbox.scan import (
    ALWAYS_EXCLUDED,
    MAX_ENTRIES,
    Kind,
    Sieve,
    SubmissionRules,
    accepted,
    changed,
    unreadable,
)
from harness.sandbox.tree import MAX_DEPTH, TreeFile

_TIMEOUT_S = 300.0
_LISTING_BYTES = 32 * MIB
_FIELDS = 5
# Per file: two blocks of header and padding, three for a long name. At the end: two blocks, filled
# up to a record of twenty.
_TAR_BYTES_PER_FILE = 5 * 512 + 512
_TAR_BYTES = 64 * 512

# Type, size, links, mode, path: the path comes last and ends at the NUL.
_LISTING = r"%y\0%s\0%n\0%m\0%P\0"
_PRUNED = " -o ".join(f"-name {name}" for name in sorted({*ALWAYS_EXCLUDED, ".git"}))
_LIST = (
    f"find . -mindepth 1 -maxdepth {MAX_DEPTH + 1} -printf '{_LISTING}' \\( {_PRUNED} \\) -prune"
)
_SEND = "tar --create --file=- --format=gnu --no-recursion --null --files-from=-"
# A folder that its owner made read-only is opened first; -R follows no link it comes across.
_REPLACE = (
    "chmod -R u+rwX . 2>/dev/null; find . -mindepth 1 -delete && "
    "exec tar --extract --file=- --preserve-permissions --no-same-owner"
)


@dataclass(frozen=True, slots=True)
class _Listed:
    path: str
    kind: Kind
    size: int
    links: int
    mode: int

    KINDS: ClassVar[Mapping[str, Kind]] = {"f": "file", "d": "folder", "l": "link"}

    @property
    def readable(self) -> bool:
        """Whether its owner, the sandbox's user, may read it (a folder: list it)."""
        needed = 0o500 if self.kind == "folder" else 0o400
        return self.mode & needed == needed


class TarTransport:
    """Carries files through a tar stream; needs GNU find and GNU tar in the sandbox.

    The sandbox goes on meanwhile (a frozen one runs no command): a file that changes its size
    between the two commands is refused, otherwise the bytes that were sent are what is recorded.
    """

    def __init__(self, sandbox: Sandbox, rules: SubmissionRules) -> None:
        self._sandbox = sandbox
        self._rules = rules

    async def fill(self, files: Mapping[str, TreeFile]) -> None:
        """As `Transport.fill`; files belong to the sandbox's user."""
        ended = await self._run(_REPLACE, stdin=_pack(files), max_output_bytes=MIB)
        _require(ended, "the workspace could not be replaced")

    async def read(self) -> dict[str, TreeFile]:
        """As `Transport.read`."""
        selected = await self._select()
        stdin = b"".join(b"./" + path.encode("utf-8") + b"\0" for path in selected)
        size = sum(listed.size for listed in selected.values())
        room = size + len(selected) * _TAR_BYTES_PER_FILE + len(stdin) * 2 + _TAR_BYTES
        ended = await self._run(_SEND, stdin=stdin, max_output_bytes=room)
        if ended.end is ExecEnd.OUTPUT_LIMIT:
            raise SubmissionRefusedError(
                f"the work tree sent more than the {size} bytes that it had when it was listed; "
                "end what writes to it and submit again"
            )
        if ended.end is not ExecEnd.EXITED or ended.exit_code not in {0, 1, 2}:
            _require(ended, "the workspace could not be read")
        return _unpack(ended.stdout, selected)

    async def _select(self) -> dict[str, _Listed]:
        ended = await self._run(_LIST, stdin=b"", max_output_bytes=_LISTING_BYTES)
        if ended.end is ExecEnd.OUTPUT_LIMIT:
            raise SubmissionRefusedError(
                f"the work tree has more than {MAX_ENTRIES} files and folders; delete some"
            )
        if ended.end is not ExecEnd.EXITED or (ended.exit_code and not ended.stdout):
            _require(ended, "the workspace could not be listed")
        sieve = Sieve(self._rules)
        entered = {"": True}
        selected: dict[str, _Listed] = {}
        for listed in sorted(_parse_listing(ended.stdout), key=lambda entry: entry.path.split("/")):
            parent = listed.path.rpartition("/")[0]
            if not entered.get(parent, False):
                continue
            if sieve.admits(listed.path, listed.kind, size=listed.size, links=listed.links):
                selected[listed.path] = listed
            elif listed.kind == "folder":
                entered[listed.path] = sieve.enters(listed.path)
            if entered.get(listed.path, listed.path in selected) and not listed.readable:
                raise unreadable(listed.path)
        sieve.check_any()
        return dict(sorted(selected.items()))

    async def _run(self, script: str, *, stdin: bytes, max_output_bytes: int) -> ExecResult:
        return await self._sandbox.exec(
            ["/bin/sh", "-c", script],
            timeout_s=_TIMEOUT_S,
            stdin=stdin,
            env={"LC_ALL": "C"},
            max_output_bytes=max_output_bytes,
        )


def _require(ended: ExecResult, what: str) -> None:
    if not ended.ok:
        raise SandboxUnavailableError(
            f"{what}: {ended.end} {ended.exit_code} {ended.evidence} "
            f"{ended.stderr[-500:].decode('utf-8', 'backslashreplace')}".strip()
        )


def _parse_listing(output: bytes) -> Iterator[_Listed]:
    fields = output.split(b"\0")
    if (len(fields) - 1) % _FIELDS:
        raise SandboxUnavailableError("the listing of the workspace is incomplete")
    for at in range(0, len(fields) - 1, _FIELDS):
        kind, size, links, mode, path = fields[at : at + _FIELDS]
        try:
            yield _Listed(
                path.decode("utf-8", "surrogateescape"),
                _Listed.KINDS.get(kind.decode("ascii"), "special"),
                int(size),
                int(links),
                int(mode, 8),
            )
        except ValueError as error:
            raise SandboxUnavailableError(f"the listing of the workspace: {error}") from error


def _pack(files: Mapping[str, TreeFile]) -> bytes:
    now = int(time.time())
    buffer = io.BytesIO()
    made = {""}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:

        def add_folder(path: str) -> None:
            if path not in made:
                add_folder(path.rpartition("/")[0])
                made.add(path)
                folder = tarfile.TarInfo(f"./{path}")
                folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, now
                archive.addfile(folder)

        for path, file in files.items():
            add_folder(path.rpartition("/")[0])
            member = tarfile.TarInfo(f"./{path}")
            member.size, member.mtime = len(file.data), now
            member.mode = 0o755 if file.executable else 0o644
            archive.addfile(member, io.BytesIO(file.data))
    return buffer.getvalue()


def _unpack(stream: bytes, selected: Mapping[str, _Listed]) -> dict[str, TreeFile]:
    """The files of the stream: each that was selected, once, with the size listed."""
    found: dict[str, TreeFile] = {}
    try:
        with tarfile.open(
            fileobj=io.BytesIO(stream), mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            for member in archive:
                path = member.name.removeprefix("./")
                listed = selected.get(path)
                if listed is None or path in found or member.type != tarfile.REGTYPE:
                    raise changed(path)
                content = archive.extractfile(member)
                data = content.read(listed.size + 1) if content is not None else b""
                if not len(data) == member.size == listed.size:
                    raise changed(path)
                found[path] = accepted(path, TreeFile(data, bool(listed.mode & 0o100)))
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise SandboxUnavailableError(f"the stream of the workspace: {error}") from error
    for path in selected:
        if path not in found:
            raise changed(path)
    return dict(sorted(found.items()))
