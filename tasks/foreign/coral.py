"""CORAL's tasks: `task.yaml` of its own, `seed/`, and a grader package or `eval/grader.py`.

Source: CORAL at 0af5127 (May 2026). Paths in `grader.setup` and `grader.private` are relative to
the task's folder, `workspace.repo_path` to the working directory of whoever starts CORAL.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from harness.errors import TaskError
from harness.tasks.foreign.base import OPTIONS, Native, Source, adapter, below, task_name, tree
from harness.tasks.foreign.config import Keys, read_yaml
from harness.tasks.foreign.requirements import imported, merged

TASK_FILE = "task.yaml"
MAX_TIMEOUT_S = 24 * 3600.0
"""For graders without a limit."""
DIRECTIONS = ("maximize", "minimize")
_PIP = re.compile(r"^(?:uv\s+pip|pip3?|python3?\s+-m\s+pip)\s+install\s+(.+)$")
FLAG_OF = {
    "agents": "agents, models and heartbeats are set by flags and harness.yaml (docs/agents.md)",
    "sharing": "CORAL does not read it either",
    "run": "how a run is shown is set by --display and --detach",
}


class CoralFormat:
    """A task.yaml with the sections `task` and `grader`."""

    name = "coral"

    def recognises(self, folder: Path) -> bool:
        try:
            keys = read_yaml(folder / TASK_FILE)
        except TaskError:
            return False
        return isinstance(keys.get("task"), dict) and not {"name", "evaluator"} & set(keys)

    def convert(self, folder: Path) -> Native:
        path = folder / TASK_FILE
        config = Keys(read_yaml(path), path)
        task, grader = config.section("task"), config.section("grader")
        name = task.text("name")
        if not name:
            raise TaskError(f"{path}: 'task.name' is missing", expected="a name",
                            action=f"add it to {path.name}")  # fmt: skip
        private = _private(folder, grader)
        entrypoint = grader.text("entrypoint")
        _check_grader(path, grader, entrypoint, private)
        setup = _Setup(folder, grader.texts("setup"))
        seed, notes = _seed(folder, config.section("workspace"))
        settings = _settings(grader, entrypoint)
        description = _description(task)
        options = {
            "name": name,
            "description": description,
            "entrypoint": entrypoint,
            "paths": setup.paths,
            "grader": settings,
        }
        file: dict[str, Any] = {
            "name": task_name(name),
            "description": description,
            "direction": settings["direction"],
            "evaluator": {
                "kind": "one_phase",
                "judge": "harness_coral.py:judge",
                "timeout_s": (settings["timeout"] or MAX_TIMEOUT_S) + 30.0,
            },
            "environment": {
                "python": merged(setup.requirements, _needed(seed, private, setup)),
                "setup": setup.commands,
            },
        }
        return Native(
            file,
            seed=seed,
            evaluator={
                **adapter("harness_coral.py", "coral"),
                OPTIONS: json.dumps(options, indent=2).encode(),
                **setup.sources,
            },
            private=private,
            notes=(*notes, *setup.notes, *_notes(config, grader)),
        )


def _settings(grader: Keys, entrypoint: str) -> dict[str, Any]:
    """The part of the section `grader` that the grader itself sees."""
    timeout = grader.number("timeout", 300)
    if timeout < 0:
        raise grader.wrong("timeout", timeout, "seconds, 0 or more (0: no limit)")
    return {
        "entrypoint": entrypoint,
        "timeout": timeout,
        "args": grader.section("args").all(),
        "direction": grader.text("direction", "maximize"),
    }


def _check_grader(path: Path, grader: Keys, entrypoint: str, private: dict[str, Source]) -> None:
    for key in ("type", "module"):
        if grader.get(key) is not None:
            raise grader.wrong(key, grader.get(key), "grader.entrypoint, which took its place")
    if entrypoint and not re.fullmatch(r"[\w.]+:\w+", entrypoint):
        raise grader.wrong("entrypoint", entrypoint, "package.module:Class")
    if not entrypoint and "eval/grader.py" not in private:
        raise TaskError(
            f"{path}: there is neither 'grader.entrypoint' nor {path.parent / 'eval/grader.py'}",
            expected="a class that derives from TaskGrader",
            action="name it as grader.entrypoint: package.module:Class",
        )
    direction = grader.text("direction", "maximize")
    if direction not in DIRECTIONS:
        raise grader.wrong("direction", direction, " or ".join(DIRECTIONS))


def _private(folder: Path, grader: Keys) -> dict[str, Source]:
    private: dict[str, Source] = {}
    if (folder / "eval").is_dir():
        private |= below("eval", tree(folder / "eval"))
    for entry in grader.texts("private"):
        path = folder / entry
        if path.is_dir():
            private |= below(path.name, tree(path))
        elif path.is_file():
            private[path.name] = path
        else:
            raise grader.wrong("private", entry, f"a file or folder below {folder}")
    return private


def _seed(folder: Path, workspace: Keys) -> tuple[dict[str, Source], list[str]]:
    """The files agents start from: `workspace.repo_path`, and the task's `seed/` laid over them."""
    notes: list[str] = []
    files: dict[str, Source] = {}
    named = workspace.text("repo_path", ".")
    repository = _repository(folder, named)
    own = folder / "seed"
    if named != "." and repository is not None and repository.resolve() != own.resolve():
        files |= tree(repository)
    elif named != "." and repository is None and not own.is_dir():
        raise TaskError(
            f"{folder / TASK_FILE}: 'workspace.repo_path' is {named!r}, which is no folder here",
            expected="a folder, relative to the working directory as for CORAL",
            action="start the harness where CORAL would be started",
        )
    if own.is_dir():
        files |= tree(own)
    if not files:
        raise TaskError(
            f"{folder} has no seed/ and names no repository",
            expected="files that agents start from",
            action=f"make {own}, or start where workspace.repo_path is to be found",
        )
    commands = workspace.texts("setup")
    if commands:
        notes.append(
            f"workspace.setup is not run in workspaces ({'; '.join(commands)}): the packages of "
            "seed/pyproject.toml and of well-known imports are there"
        )
    return files, notes


def _repository(folder: Path, named: str) -> Path | None:
    """From the working directory, as CORAL; else whatever above the task leads into the task."""
    top = folder.resolve()
    above = (place for place in (each / named for each in top.parents) if top in place.parents)
    return next((p for p in (Path(named), folder / named, *above) if p.is_dir()), None)


class _Setup:
    """`grader.setup`: local packages become folders to import from, the rest requirements."""

    def __init__(self, folder: Path, commands: list[str]) -> None:
        self.paths: list[str] = []
        self.requirements: list[str] = []
        self.commands: list[str] = []
        self.sources: dict[str, Source] = {}
        self.notes: list[str] = []
        self._folder = folder
        for command in commands:
            match = _PIP.match(command.strip())
            words = shlex.split(match[1]) if match else None
            if words is None or not self._install(words):
                self.commands.append(re.sub(r"^uv\s+pip\b", "python -m pip", command.strip()))
        if (folder / "grader").is_dir() and not self.sources:
            self._package(folder / "grader")

    def _install(self, words: list[str]) -> bool:
        """Whether all words are requirements or local folders."""
        plain = [word for word in words if word not in ("-e", "--editable", "-q", "--quiet")]
        places, requirements = list[Path](), list[str]()
        for word in plain:
            bare, _, extras = word.partition("[")
            if bare.startswith((".", "/")) or (self._folder / bare).is_dir():
                if not (self._folder / bare).is_dir():
                    raise TaskError(
                        f"{self._folder / TASK_FILE}: 'grader.setup' installs {word!r}, which is "
                        "no folder",
                        expected="a package below the task's folder",
                        action=f"restore {self._folder / bare}",
                    )
                places.append(self._folder / bare)
                if extras:
                    self.notes.append(f"grader.setup: the extras [{extras} are not installed")
                continue
            try:
                requirements.append(str(Requirement(word)))
            except InvalidRequirement:
                return False
        self.requirements += requirements
        for place in places:
            self._package(place)
        return True

    def _package(self, place: Path) -> None:
        """Take a local package in: its files, and what it depends on."""
        name = f"package{len(self.paths)}"
        files = tree(place)
        self.sources |= below(name, files)
        self.paths.append(f"{name}/src" if (place / "src").is_dir() else name)
        for line in _dependencies(place / "pyproject.toml"):
            if Requirement(line).name.lower() != "coral":
                self.requirements.append(line)


def _dependencies(path: Path) -> list[str]:
    """What a pyproject.toml says its project depends on."""
    if not path.is_file():
        return []
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        return [str(Requirement(line)) for line in project.get("dependencies", [])]
    except (OSError, ValueError, InvalidRequirement) as error:
        raise TaskError(
            f"{path} cannot be read: {error}",
            expected="a pyproject.toml with project.dependencies",
            action="correct it",
        ) from None


def _needed(seed: dict[str, Source], private: dict[str, Source], setup: _Setup) -> list[str]:
    pyproject = seed.get("pyproject.toml")
    listed = _dependencies(pyproject) if isinstance(pyproject, Path) else []
    paths = [
        path
        for sources in (seed, private, setup.sources)
        for name, path in sources.items()
        if isinstance(path, Path) and name.endswith(".py")
    ]
    return merged(listed, imported(paths))


def _description(task: Keys) -> str:
    text = task.text("description").strip()
    tips = task.text("tips").strip()
    if not text:
        raise task.wrong("description", "", "what agents are told")
    return f"{text}\n\n## Tips\n\n{tips}" if tips else text


def _notes(config: Keys, grader: Keys) -> Iterator[str]:
    parallel = grader.section("parallel").get("max_workers")
    if parallel is not None:
        yield f"grader.parallel.max_workers is set by --slots here ({parallel} there)"
    if grader.get("max_pending_per_agent") is not None:
        yield "grader.max_pending_per_agent: the harness bounds what waits itself"
    workspace = config.section("workspace")
    if workspace.get("results_dir") is not None or workspace.get("run_dir") is not None:
        yield "workspace.results_dir: runs are kept where --runs-dir says"
    workspace.get("base_dir")  # CORAL does not read it either
    for key, why in FLAG_OF.items():
        if config.get(key) is not None:
            yield f"{key}: {why}"
    for key in config.unknown():
        yield f"{TASK_FILE}: {key!r} is passed over"
