"""Loads task folders and the library that ships with the package."""

import ast
import difflib
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from harness.errors import TaskError
from harness.tasks.base import DataFolder, EnvironmentSpec, Task, TaskFile
from harness.tasks.evaluation import (
    AnswerSpec,
    CommandSpec,
    EvaluatorBase,
    JudgedSpec,
    ProducedSpec,
    RepositorySpec,
    ServeSpec,
)
from harness.tasks.folder import data_digest, files_below, hash_files
from harness.tasks.foreign.imported import imported_from
from harness.tasks.strict_yaml import read_model

TASK_FILE = "task.yaml"
LIBRARY = Path(__file__).resolve().parent / "library"
SERVER = "harness_serve"
"""The module that serves a Python file's functions; `evaluators/inside/` has it."""

_OTHERS = re.compile(rb"^[\"']?(task|seed)[\"']?\s*:", re.MULTILINE)


def library() -> dict[str, Path]:
    """Folder of each task that ships with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(LIBRARY.glob(f"*/{TASK_FILE}"))}


def load_task(reference: str | Path) -> Task:
    """Load and validate a task: a library name, a folder, or the path of its task.yaml.

    A folder in the format of another tool is converted first, into the user's cache.
    A library name wins over a folder of that name in the working directory; `./name` means the
    folder.

    Raises:
        TaskError: Not found, or not a valid task; names file, key and what to do.
    """
    folder = _find(reference)
    path = folder / TASK_FILE
    file = read_model(path, TaskFile, TaskError)
    seed = _part(folder, "seed", "the first solution: what agents start from")
    needed = file.evaluator.private_files
    evaluator = _part(folder, "evaluator", needed[1]) if needed else _optional(folder, "evaluator")
    seed_files = files_below(seed, links=False)
    if not seed_files:
        raise TaskError(
            f"{seed} is empty",
            expected="the files of a first solution that runs and scores",
            action=f"put at least the program of evaluator.produce into {seed}",
        )
    for spec in (file.evaluator, *file.evaluator.variations):
        _check_evaluator(path, spec, seed, evaluator)
    _check_environment(path, file.environment)
    about = imported_from(folder)
    private, knowledge = (_optional(folder, name) for name in ("private", "knowledge"))
    hashed = [(TASK_FILE, path)]
    hashed += [(f"seed/{name}", each) for name, each in seed_files]
    if evaluator is not None:
        hashed += [(f"evaluator/{name}", each) for name, each in files_below(evaluator)]
    if knowledge is not None:
        files_below(knowledge)
    return Task(
        file=file,
        folder=folder,
        seed=seed,
        evaluator=evaluator,
        private=private,
        knowledge=knowledge,
        hash=hash_files(hashed),
        private_hash=None if private is None else hash_files(files_below(private)),
        origin=Path(about["origin"]) if about else None,
        notes=tuple(about["notes"]) if about else (),
    )


def _find(reference: str | Path) -> Path:
    known = library()
    if isinstance(reference, str) and reference in known:
        return known[reference]
    folder = Path(reference).expanduser()
    if folder.name == TASK_FILE and not folder.is_dir():
        folder = folder.parent
    if (folder / TASK_FILE).is_file() and not _may_be_foreign(folder / TASK_FILE):
        return folder.resolve()
    if folder.is_dir():
        # Loads YAML again and `packaging`: only for what is no plain task of ours.
        from harness.tasks.foreign.find import converted

        made = converted(folder)
        if made is not None or (folder / TASK_FILE).is_file():
            return (made or folder).resolve()
        raise TaskError(
            f"{folder} has no {TASK_FILE}",
            expected=f"a task folder: {TASK_FILE}, seed/, evaluator/; or one of CORAL's, "
            "OpenEvolve's (initial_program.*, evaluator.py) or ShinkaEvolve's (initial.*, "
            "evaluate.py)",
            action="name the folder that holds it, or make one: harness task new NAME",
        )
    nearest = difflib.get_close_matches(str(reference), known, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise TaskError(
        f"no task {str(reference)!r}: neither in the library nor a folder",
        expected=f"a folder with {TASK_FILE} or in a format of docs/import.md, or one of "
        f"{', '.join(known) or '(empty library)'}",
        action=f"{hint}harness task list shows what there is",
    )


def _may_be_foreign(path: Path) -> bool:
    """Whether a task.yaml has a key at the top that only others' have, or a seed elsewhere."""
    try:
        return _OTHERS.search(path.read_bytes()) is not None
    except OSError:
        return False


def _part(folder: Path, name: str, what: str) -> Path:
    part = folder / name
    if part.is_dir():
        return part
    problem = "is a broken link" if part.is_symlink() else "is missing"
    raise TaskError(
        f"{part} {problem if not part.exists() else 'is not a folder'}",
        expected=f"a folder {name}/ with {what}",
        action=f"mkdir {part} and add the files; `harness task new` writes an example",
    )


def _optional(folder: Path, name: str) -> Path | None:
    part = folder / name
    return _part(folder, name, "files") if part.exists() or part.is_symlink() else None


def _check_evaluator(path: Path, spec: EvaluatorBase, seed: Path, evaluator: Path | None) -> None:
    if isinstance(spec, CommandSpec):
        _check_run(path, spec, seed, evaluator)
    if evaluator is None:
        return
    if isinstance(spec, AnswerSpec):
        _check_outputs(path, spec.outputs)
    if isinstance(spec, ProducedSpec):
        _check_command(path, "evaluator.produce", spec.produce, seed)
    if isinstance(spec, RepositorySpec):
        _check_relative(path, "evaluator.tests", spec.tests)
        _check_tests(_part(evaluator, spec.tests, "the tests, test_*.py"))
        if spec.build:
            _check_command(path, "evaluator.build", spec.build, seed)
    if isinstance(spec, ServeSpec) and spec.baseline is not None:
        _check_relative(path, "evaluator.baseline", spec.baseline)
        _part(evaluator, spec.baseline, "the program that candidates are compared with")
    if isinstance(spec, JudgedSpec):
        _check_relative(path, "evaluator.judge", spec.judge_file)
        _check_judge(path, evaluator / spec.judge_file, spec)


def _check_environment(path: Path, spec: EnvironmentSpec) -> None:
    if spec.python:
        # Loads `packaging`: only for tasks that need it.
        from harness.tasks.environment import parse_requirements

        parse_requirements(spec.python, f"{path}: 'environment.python'")
    if spec.data is not None:
        _check_data(path, spec.data, "environment.data")
        if spec.data.sample is not None:
            _check_data(path, spec.data.sample, "environment.data.sample")


def _check_run(path: Path, spec: CommandSpec, seed: Path, evaluator: Path | None) -> None:
    _check_command(path, "evaluator.run", spec.run, seed)
    if evaluator is None and any("{evaluator}" in word for word in spec.run):
        raise TaskError(
            f"{path}: 'evaluator.run' names {{evaluator}}, and there is no such folder",
            expected="a folder evaluator/ beside task.yaml",
            action=f"mkdir {path.parent / 'evaluator'} and put its files there",
        )
    for name, metric in {"metric": spec.metric, **spec.metrics}.items():
        if metric.file is not None:
            _check_relative(path, f"evaluator.{name}.file", metric.file)


def _check_data(path: Path, spec: DataFolder, key: str) -> None:
    folder = Path(spec.path)
    found = data_digest(folder) if folder.is_dir() else None
    if found != spec.digest:
        raise TaskError(
            f"{path}: the data in {folder} {'are gone' if found is None else 'have changed'}",
            expected=f"the files of '{key}.digest', by name and size",
            action="put them back, or make the task anew",
        )


def _check_outputs(path: Path, outputs: Sequence[str]) -> None:
    for index, output in enumerate(outputs):
        _check_relative(path, f"evaluator.outputs[{index}]", output)
    if len(set(outputs)) != len(outputs):
        raise TaskError(
            f"{path}: 'evaluator.outputs' names a file twice",
            expected="each output once",
            action="remove the repetition",
        )


def _check_relative(path: Path, key: str, value: str) -> None:
    pure = PurePosixPath(value)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != value or value == ".":
        raise TaskError(
            f"{path}: {key!r} is {value!r}",
            expected="a plain relative path without `..`, `./` or `//`",
            action=f"correct {key!r} in {path.name}",
        )


def _check_command(path: Path, key: str, command: Sequence[str], seed: Path) -> None:
    program = command[0]
    if not program or any(character.isspace() for character in program):
        name = key.rsplit(".", 1)[1]
        raise TaskError(
            f"{path}: '{key}[0]' is {program!r}",
            expected="a program; the command is a list of arguments, no shell reads it",
            action=f"write {name}: [{', '.join(program.split()) or 'python, solve.py'}]",
        )
    named = _program_file(command)
    if named is not None and not (seed / named).is_file():
        raise TaskError(
            f"{path}: {key!r} runs {named!r}, which is not in {seed}",
            expected="a program among the seed's files",
            action=f"add {seed / named} or correct {key!r}",
        )


def _check_tests(folder: Path) -> None:
    tests = sorted(folder.rglob("test_*.py"))
    if not tests:
        raise TaskError(
            f"{folder} has no test_*.py",
            expected="files of `unittest` cases made of harness_repository.RepositoryTest",
            action=f"write {folder / 'test_first.py'}",
        )
    for each in tests:
        _parse(each)


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise TaskError(
            f"{file}:{line}: {getattr(error, 'msg', error)}",
            expected="a Python file",
            action=f"correct {file}",
        ) from None


def _program_file(produce: Sequence[str]) -> str | None:
    """The file that the command runs, relative to the submission; None when that is not plain."""
    program, *words = produce
    if program not in ("python", "python3"):
        return program if "/" in program and not program.startswith("/") else None
    if words[:2] == ["-m", SERVER]:
        words = words[2:]
    return words[0] if words and words[0].endswith(".py") else None


def _check_judge(path: Path, judge: Path, spec: JudgedSpec) -> None:
    function, parameters = spec.judge_function, ", ".join(spec.judge_parameters)
    if not judge.is_file():
        raise TaskError(
            f"{path}: 'evaluator.judge' names {judge.name}, but {judge} is missing",
            expected="`file.py:function` below evaluator/",
            action=f"create {judge} or correct 'evaluator.judge'",
        )
    tree = _parse(judge)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        nearest = difflib.get_close_matches(function, functions, n=1)
        raise TaskError(
            f"{judge} has no function {function!r}",
            expected=f"def {function}({parameters}) at the top level, not async",
            action=f"did you mean {nearest[0]!r}?" if nearest else f"define it in {judge.name}",
        )
    _check_signature(judge, functions[function], spec.judge_parameters)


def _check_signature(judge: Path, node: ast.FunctionDef, parameters: Sequence[str]) -> None:
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keywords = [default for default in arguments.kw_defaults if default is None]
    enough = positional >= len(parameters) or arguments.vararg is not None
    if not enough or required > len(parameters) or keywords:
        raise TaskError(
            f"{judge}:{node.lineno}: {node.name}({ast.unparse(arguments)}) cannot be called so",
            expected=f"three positional arguments: {', '.join(parameters)}",
            action=f"def {node.name}({', '.join(parameters)})",
        )
