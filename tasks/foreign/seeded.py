"""Native tasks whose seed lies elsewhere: the key `seed` of task.yaml in place of a folder seed/.

seed: {path: ../my-project}                            # a folder as it is
seed: {repository: ../my-project, commit: v1.2}        # of a git repository, what is committed
seed: {repository: https://…/my-project.git, folder: python}
"""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from harness.errors import TaskError
from harness.patterns import matcher
from harness.tasks.evaluation import Strict
from harness.tasks.foreign.base import LEFT_OUT, Native, Source, below, tree
from harness.tasks.foreign.config import Keys, read_yaml

TASK_FILE = "task.yaml"
BESIDE = ("knowledge", "cheats", "honest")
GIT_TIMEOUT_S = 600


class SeedSpec(BaseModel):
    """Where the first solution is."""

    model_config = Strict

    path: str | None = None
    """A folder, relative to task.yaml; its files as they are, without what git keeps."""
    repository: str | None = None
    """A git repository: a folder relative to task.yaml, or an address that git understands."""
    commit: str = Field(default="HEAD", pattern=r"^[\w./@^~-]+$")
    """Of `repository`: a commit, tag or branch."""
    folder: str = Field(default="", pattern=r"^([^/.:\\][^:\\]*)?$")
    """Of `repository`: only this folder of it, as the top."""


class SeededFormat:
    """A task.yaml of ours with a key `seed`."""

    name = "seeded"

    def recognises(self, folder: Path) -> bool:
        try:
            keys = read_yaml(folder / TASK_FILE)
        except TaskError:
            return False
        return "seed" in keys and "evaluator" in keys and not (folder / "seed").exists()

    def convert(self, folder: Path) -> Native:
        path = folder / TASK_FILE
        file = read_yaml(path)
        spec = _spec(path, file.pop("seed"))
        notes: list[str] = []
        if spec.path is not None:
            place = folder / spec.path
            if not place.is_dir():
                raise _wrong(path, f"{place} is no folder", "a folder relative to task.yaml")
            seed: dict[str, Source] = dict(tree(place))
        else:
            commit, seed = _committed(path, spec)
            notes.append(f"seed: commit {commit} of {spec.repository}")
        seed = _submitted(path, file, seed)
        if not seed:
            raise _wrong(path, "there is no file in it", "the files of a first solution")
        evaluator, private = (_below(folder / name) for name in ("evaluator", "private"))
        beside = [below(name, _below(folder / name)) for name in BESIDE]
        together = {name: source for files in beside for name, source in files.items()}
        return Native(file, seed, evaluator, private, together, tuple(notes))


def _below(folder: Path) -> dict[str, Source]:
    return dict(tree(folder)) if folder.is_dir() else {}


def _spec(path: Path, value: Any) -> SeedSpec:
    try:
        spec = SeedSpec.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(("seed", *map(str, first["loc"])))
        raise TaskError(
            f"{path}: {where!r}: {first['msg']}",
            expected="path, or repository with commit and folder",
            action=f"correct 'seed' in {path.name}",
        ) from None
    if (spec.path is None) == (spec.repository is None):
        raise _wrong(path, "names neither or both", "either `path` or `repository`")
    return spec


def _submitted(path: Path, file: dict[str, Any], seed: dict[str, Source]) -> dict[str, Source]:
    """Those that `submission` selects: what agents would be refused is no use to them."""
    keys = Keys(file, path).section("submission")
    include, exclude = keys.texts("include") or ["**"], keys.texts("exclude")
    try:
        wanted, unwanted = matcher(tuple(include)), matcher(tuple(exclude))
    except ValueError as error:
        raise _wrong(path, f"'submission': {error}", "patterns as in .gitignore") from None
    return {name: data for name, data in seed.items() if wanted(name) and not unwanted(name)}


def _committed(path: Path, spec: SeedSpec) -> tuple[str, dict[str, Source]]:
    """The commit's hash and its files, read from the object database: no hook or filter runs."""
    assert spec.repository is not None
    local = path.parent / spec.repository
    git = local if local.is_dir() else _clone(path, spec.repository)
    name = f"{spec.commit}^{{commit}}"
    commit = _git(path, git, "rev-parse", "--verify", "--end-of-options", name).decode().strip()
    top = f"{commit}:{spec.folder.rstrip('/')}"
    listed = _git(path, git, "ls-tree", "-r", "-z", top).decode("utf-8", "surrogateescape")
    files: dict[str, Source] = {}
    for line in filter(None, listed.split("\0")):
        about, name = line.split("\t", 1)
        mode, kind, blob = about.split()
        if kind != "blob" or mode == "120000" or LEFT_OUT & set(name.split("/")):
            continue
        files[name] = _git(path, git, "cat-file", "blob", blob)
    return commit, files


def _clone(path: Path, address: str) -> Path:
    from harness.tasks.environment import cache_folder

    if address.startswith("-") or ("://" not in address and "@" not in address):
        raise _wrong(path, f"{path.parent / address} is no folder", "a folder or an address")
    key = hashlib.sha256(address.encode()).hexdigest()[:24]
    place = cache_folder().parent / "repositories" / key
    if place.is_dir():
        _git(path, place, "fetch", "--quiet", "origin", "+refs/*:refs/*")
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        _run(path, ["git", "clone", "--quiet", "--bare", "--", address, str(place)])
    return place


def _git(path: Path, repository: Path, *arguments: str) -> bytes:
    return _run(path, ["git", "-C", str(repository), *arguments])


def _run(path: Path, argv: list[str]) -> bytes:
    try:
        ended = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=GIT_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _wrong(path, f"git: {error}", "a git that works") from None
    if ended.returncode:
        reason = ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["failed"]
        raise _wrong(path, f"git: {reason[-1]}", "a repository with that commit and folder")
    return ended.stdout


def _wrong(path: Path, problem: str, expected: str) -> TaskError:
    return TaskError(
        f"{path}: 'seed': {problem}", expected=expected, action=f"correct 'seed' in {path.name}"
    )
