"""The run's bare git repository: every submitted tree, recorded for good.

Trees go in and out as `dict[path, TreeFile]`: git never sees a folder that an agent can write, so
no hook, filter, attribute, alternate or configuration of an agent can take part. Objects are git's
own, so `git log`, `git clone` and `git fsck` work on the result. git itself runs only for `diff`
and `check`, on this repository alone and with an environment of our own.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from harness.errors import InfrastructureError, StoreError
from harness.ids import CommitHash, TreeHash
from harness.sandbox.objects import (
    ObjectStore,
    TreeEntry,
    decode_tree,
    encode_tree,
    sync_directory,
    write_durably,
)
from harness.sandbox.placing import place
from harness.sandbox.tree import MAX_DEPTH, TreeFile, content_problem, path_problem

__all__ = ["Repository", "TreeFile"]

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tsymlinks = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""
# info/attributes outranks every .gitattributes in a tree: none of those may change or hide content.
_ATTRIBUTES = """\
* -text -ident -filter -eol -working-tree-encoding -export-ignore -export-subst !diff !merge
"""
_HEAD = "ref: refs/heads/main\n"

_REF = re.compile(r"refs(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")
_HASH = re.compile(r"[0-9a-f]{40}")

# Lines of `git fsck` that report no damage.
_HARMLESS = ("notice:", "dangling ", "unreachable ", "Checking ")


class Repository:
    """A bare repository at `path`.

    HEAD names `refs/heads/main`; whoever sets that ref decides what a plain `git log` and
    `git clone` show.

    **Threads**: safe. Writers (`write_tree`, `commit`) take turns under one lock, held while the
    disk syncs; readers take none (a lock around packs apart). **Processes**: one writer, any number
    of readers, also on read-only folders. **Durability**: what a method returned survives a kill
    and, refs apart, a power failure; objects reach the disk before what refers to them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._objects = ObjectStore(path / "objects")
        self._writing = threading.Lock()
        self._naming = threading.Lock()

    @property
    def path(self) -> Path:
        """The repository's folder."""
        return self._path

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new repository; it appears at `path` complete or not at all.

        Raises:
            FileExistsError: When `path` is there and not an empty folder.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        draft.chmod(0o755)
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
            (draft / folder).mkdir(parents=True)
        for name, text in (
            ("HEAD", _HEAD),
            ("config", _CONFIG),
            ("info/attributes", _ATTRIBUTES),
        ):
            write_durably(str(draft / f"{name}.tmp"), str(draft / name), text.encode("utf-8"))
        for folder in ("objects", "refs", "info", "."):
            sync_directory(draft / folder)
        try:
            draft.rename(path)
        except OSError as error:
            shutil.rmtree(draft)
            raise FileExistsError(f"{path} is there and not an empty folder") from error
        sync_directory(path.parent)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Use the repository at `path`; nothing is written.

        Raises:
            StoreError: When there is none.
        """
        if not ((path / "HEAD").is_file() and (path / "objects").is_dir()):
            raise StoreError(f"{path} is not a bare git repository")
        return cls(path)

    def close(self) -> None:
        """Release open files."""
        self._objects.close()

    def write_tree(self, files: Mapping[str, TreeFile]) -> TreeHash:
        """Record files by path; the same files always give the same hash. May be empty.

        Raises:
            ValueError: For a file that may not be in a tree, or one that is a folder as well.
            OSError: When the disk refuses.
        """
        for path, file in files.items():
            problem = path_problem(path) or content_problem(path, file.data)
            if problem is not None:
                raise ValueError(f"{path!r}: {problem}")
        folders: dict[str, dict[str, TreeEntry]] = {"": {}}
        with self._writing:
            for path, file in files.items():
                parent, _, name = path.rpartition("/")
                sha = self._objects.write("blob", file.data)
                _folder(folders, parent)[name] = TreeEntry(
                    "100755" if file.executable else "100644", name, sha
                )
            self._objects.sync()
            for folder in sorted(folders, key=lambda folder: folder.count("/"), reverse=True):
                if folder:
                    parent, _, name = folder.rpartition("/")
                    sha = self._objects.write("tree", encode_tree(folders[folder].values()))
                    if name in folders[parent]:
                        raise ValueError(f"{folder!r} is both a file and a folder")
                    folders[parent][name] = TreeEntry("40000", name, sha)
            tree = self._objects.write("tree", encode_tree(folders[""].values()))
            self._objects.sync()
        return TreeHash(tree)

    def commit(
        self,
        tree: TreeHash,
        parents: Sequence[CommitHash],
        message: str,
        author: str,
        at: float,
    ) -> CommitHash:
        """Record a commit, in UTC. `author` is a name (an agent's id), `at` seconds since 1970."""
        who = f"{_identity(author)} {max(int(at), 0)} +0000"
        lines = [
            f"tree {_hash(tree)}",
            *(f"parent {_hash(parent)}" for parent in parents),
            f"author {who}",
            f"committer {who}",
        ]
        text = message.replace("\0", "").rstrip("\n")
        data = ("\n".join(lines) + f"\n\n{text}\n").encode("utf-8", "backslashreplace")
        with self._writing:
            sha = self._objects.write("commit", data)
            self._objects.sync()
        return CommitHash(sha)

    def set_ref(self, name: str, commit: CommitHash) -> None:
        """Point a ref (`refs/attempts/17`) to a commit in one step, without waiting for the disk.

        Takes tens of microseconds, so it may be called on an event loop. A kill loses nothing; a
        power failure may lose the last refs (never a commit): whoever has the hashes, which a run
        has in its database, sets them again.

        Raises:
            ValueError: For a name that git would not accept, or that is not below `refs/`.
        """
        if not _REF.fullmatch(name) or ".." in name or name.endswith((".lock", ".")):
            raise ValueError(f"{name!r} is not a ref name such as 'refs/attempts/17'")
        text = f"{_hash(commit)}\n"
        path = self._path / name
        temporary = path.with_name(f"{path.name}.lock")
        with self._naming:
            try:
                temporary.write_text(text, encoding="ascii")
            except FileNotFoundError:
                path.parent.mkdir(parents=True)
                temporary.write_text(text, encoding="ascii")
            temporary.rename(path)

    def refs(self) -> dict[str, CommitHash]:
        """All refs, sorted by name; without those that a power failure left empty."""
        found = dict(self._packed_refs())
        top = self._path / "refs"
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                if name.endswith(".lock"):
                    continue
                text = path.read_text(encoding="ascii", errors="replace").strip()
                if not text:
                    continue
                if not _HASH.fullmatch(text):
                    raise StoreError(f"{path} does not hold a commit hash: {text[:80]!r}")
                found[path.relative_to(self._path).as_posix()] = CommitHash(text)
        return dict(sorted(found.items()))

    def _packed_refs(self) -> Iterator[tuple[str, CommitHash]]:
        """Refs that somebody's `git gc` moved to one file; loose ones outrank them."""
        try:
            text = (self._path / "packed-refs").read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            sha, _, name = line.partition(" ")
            if _HASH.fullmatch(sha):
                yield name, CommitHash(sha)

    def tree_of(self, commit: CommitHash) -> TreeHash:
        """The tree that a commit records.

        Raises:
            StoreError: When there is no such commit.
        """
        first = self._objects.read(_hash(commit), "commit").split(b"\n", 1)[0]
        return TreeHash(first.removeprefix(b"tree ").decode("ascii"))

    def files(self, tree: TreeHash) -> dict[str, TreeFile]:
        """The files of a tree by path, sorted.

        Raises:
            StoreError: When objects are missing or damaged, or the tree has anything but regular
                files and folders (it is not one that `write_tree` made).
        """
        found: dict[str, TreeFile] = {}
        self._collect(_hash(tree), "", found)
        return dict(sorted(found.items()))

    def _collect(self, tree: str, prefix: str, found: dict[str, TreeFile]) -> None:
        for entry in decode_tree(self._objects.read(tree, "tree")):
            path = prefix + entry.name
            problem = path_problem(path)
            if problem is not None or prefix.count("/") >= MAX_DEPTH:
                raise StoreError(f"git tree {tree}: {path!r}: {problem}")
            if entry.is_tree:
                self._collect(entry.sha, path + "/", found)
            elif entry.mode in {"100644", "100755"}:
                data = self._objects.read(entry.sha, "blob")
                found[path] = TreeFile(data, entry.mode == "100755")
            else:
                raise StoreError(f"git tree {tree}: {path!r} has mode {entry.mode}")

    def changed(
        self, old: TreeHash, new: TreeHash, *, max_files: int = 32, max_bytes: int = 32 * 1024
    ) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The files in which two trees differ: what each has of them.

        Only the first files by path and the first bytes of each, so that the work is bounded; no
        folder and no file that both have is read.

        Raises:
            StoreError: When objects are missing or damaged.
        """
        before: dict[str, bytes] = {}
        after: dict[str, bytes] = {}
        for path, left, right in self._differing(_hash(old), _hash(new), ""):
            if len(before.keys() | after.keys()) >= max_files:
                break
            for sha, found in ((left, before), (right, after)):
                if sha is not None:
                    found[path] = self._objects.head(sha, max_bytes)
        return before, after

    def _differing(
        self, old: str | None, new: str | None, prefix: str
    ) -> Iterator[tuple[str, str | None, str | None]]:
        """Paths with the blobs of both sides; None: there is none on that side."""
        sides = (self._entries(old), self._entries(new))
        for name in sorted(sides[0].keys() | sides[1].keys()):
            left, right = (side.get(name) for side in sides)
            if left is not None and right is not None and left.sha == right.sha:
                continue
            trees = [e.sha if e is not None and e.is_tree else None for e in (left, right)]
            if any(trees) and prefix.count("/") < MAX_DEPTH:
                yield from self._differing(trees[0], trees[1], f"{prefix}{name}/")
            blobs = [e.sha if e is not None and not e.is_tree else None for e in (left, right)]
            if any(blobs):
                yield f"{prefix}{name}", blobs[0], blobs[1]

    def _entries(self, tree: str | None) -> dict[str, TreeEntry]:
        if tree is None:
            return {}
        return {entry.name: entry for entry in decode_tree(self._objects.read(tree, "tree"))}

    def checkout(self, tree: TreeHash, folder: Path) -> None:
        """Write a tree into an empty folder (made when missing), byte for byte.

        Raises:
            FileExistsError: When the folder is not empty.
            StoreError: As for `files`.
        """
        place(folder, self.files(tree))

    def diff(self, old: TreeHash, new: TreeHash) -> str:
        """Unified diff of two trees; binary files are named, undecodable bytes escaped.

        Raises:
            StoreError: When a tree is missing.
            InfrastructureError: When git cannot be started.
        """
        ended = self._git(
            "diff-tree", "-r", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color",
            _hash(old), _hash(new),
        )  # fmt: skip
        if ended.returncode:
            raise StoreError(f"git diff-tree: {_text(ended.stderr).strip()}")
        return _text(ended.stdout)

    def check(self) -> list[str]:
        """Problems that `git fsck` finds (objects nobody refers to are none); empty when clean.

        Raises:
            InfrastructureError: When git cannot be started.
        """
        ended = self._git("fsck", "--full", "--strict", "--no-dangling", "--no-progress")
        lines = _text(ended.stdout + ended.stderr).splitlines()
        problems = [line for line in lines if line and not line.startswith(_HARMLESS)]
        if ended.returncode and not problems:
            problems.append(f"git fsck ended with exit code {ended.returncode}")
        return problems

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        # No configuration but the repository's own; an explicit GIT_DIR is not subject to git's
        # ownership check, which would refuse a copied run.
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": os.devnull,
            "XDG_CONFIG_HOME": os.devnull,
            "GIT_DIR": str(self._path.absolute()),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
        }
        try:
            return subprocess.run(
                ["git", "--no-pager", *arguments],
                cwd=self._path,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except OSError as error:
            raise InfrastructureError(f"git cannot be started: {error}; install git") from error


def _folder(folders: dict[str, dict[str, TreeEntry]], path: str) -> dict[str, TreeEntry]:
    """The entries collected for a folder; it and those above it are made when missing."""
    if path not in folders:
        _folder(folders, path.rpartition("/")[0])
        folders[path] = {}
    return folders[path]


def _hash(value: str) -> str:
    if not _HASH.fullmatch(value):
        raise ValueError(f"{value!r} is not a git hash of 40 hex digits")
    return value


def _identity(author: str) -> str:
    name = re.sub(r"[^\w .@+-]", "", author).strip(" .") or "unknown"
    return f"{name} <{re.sub(r'[^A-Za-z0-9.+-]', '-', name)}@harness.invalid>"


def _text(output: bytes) -> str:
    return output.decode("utf-8", "backslashreplace")
