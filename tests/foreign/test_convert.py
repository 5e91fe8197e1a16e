"""What foreign folders come to as native tasks: texts, limits, packages, notes and refusals."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.foreign.example import SEED_SCORES, Change, copied, job

from harness.errors import SubmissionRefusedError, TaskError
from harness.evaluators.submission import FilesSubmission, submission_rules
from harness.tasks.base import Task
from harness.tasks.loader import load_task


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def load(name: str, folder: Path, changes: Mapping[str, Change] | None = None) -> Task:
    return load_task(copied(name, folder, changes))


def notes(task: Task) -> str:
    return "\n".join(task.notes)


def test_openevolve(tmp_path: Path) -> None:
    task = load("openevolve_plain", tmp_path)
    assert (task.name, task.direction) == ("openevolve_plain", "maximize")
    assert task.file.description.startswith("Find where the function is highest.\n")
    assert "`initial_program.py`" in task.file.description
    assert task.file.evaluator.timeout_s == 50
    assert task.file.budget.evaluations == 41
    assert task.file.submission.blocks
    assert task.origin == (tmp_path / "openevolve_plain").resolve()
    assert [path.name for path in task.seed.iterdir()] == ["initial_program.py"]


def test_openevolve_notes(tmp_path: Path) -> None:
    told = notes(load("openevolve_plain", tmp_path))
    for words in (
        "'allow_full_rewrites' is read by nothing",
        "'evaluator.parallel_evaluations' is passed over",
        "'colour_of_the_moon' is passed over",
        "'prompt.num_top_programs' is passed over",
        "'llm' is passed over; models are named with --model",
        "means nothing here: checkpoint_interval, diff_based_evolution, database.population_size",
    ):
        assert words in told
    assert "cascade_thresholds" not in told


def test_shinka(tmp_path: Path) -> None:
    task = load("shinka_helper", tmp_path)
    assert task.file.description.startswith("Make the samples large.\n")
    assert task.file.evaluator.timeout_s == 20
    assert (task.name, task.file.submission.blocks) == ("shinka_helper", True)
    assert task.file.budget.evaluations == 31
    plain = load("shinka_plain", tmp_path)
    assert plain.file.description.startswith("Make VALUE large, below 100.\n")
    assert plain.file.budget.evaluations == 13
    assert "means nothing here: db_config, evo_config.llm_models" in notes(plain)


def test_shinka_as_configured(tmp_path: Path) -> None:
    job_config = "job_config: {time: '01:00:05', extra_cmd_args: {seed: 3, mode: fast}}\n"
    changes: dict[str, Change] = {
        "shinka_plain.yaml": "evo_config: {init_program_path: initial.txt}\n" + job_config,
        "initial.txt": "EVOLVE-BLOCK-START\n4\nEVOLVE-BLOCK-END\n",
        "shinka_small.yaml": "evo_config: {num_generations: 3}\n",
    }
    task = load("shinka_plain", tmp_path, changes)
    assert [path.name for path in task.seed.iterdir()] == ["initial.txt"]
    assert task.file.evaluator.timeout_s == 3605
    assert task.evaluator is not None
    options = json.loads((task.evaluator / "harness_options.json").read_text())
    assert options["arguments"] == ["--seed", "3", "--mode", "fast"]
    assert "shinka_small.yaml is passed over: shinka_plain.yaml is read" in notes(task)


def test_openevolve_with_several_configurations(tmp_path: Path) -> None:
    changes: dict[str, Change] = {
        "config.yaml": None,
        "config_phase_1.yaml": "prompt: {system_message: First.}\n",
        "config_phase_2.yaml": "prompt: {system_message: Second.}\n",
    }
    task = load("openevolve_plain", tmp_path, changes)
    assert task.file.description.startswith("First.\n")
    assert "config_phase_2.yaml is passed over: config_phase_1.yaml is read" in notes(task)


def test_coral(tmp_path: Path) -> None:
    task = load("coral_packaged", tmp_path)
    assert (task.name, task.direction) == ("parabola_packaged", "minimize")
    assert "## Tips\n\nOnly `solve.py` is run." in task.file.description
    assert task.file.evaluator.timeout_s == 50
    assert task.file.environment.python == []
    assert task.private is not None
    assert (task.private / "answers" / "target.json").is_file()
    for words in ("--slots here (2 there)", "agents: ", "sharing: ", "results_dir: ", "run: "):
        assert words in notes(task)
    assert "grader.args" not in notes(task)


def test_coral_without_a_limit(tmp_path: Path) -> None:
    task = load("coral_legacy", tmp_path, {"task.yaml": ("timeout: 20", "timeout: 0")})
    assert task.file.evaluator.timeout_s == 24 * 3600 + 30


def test_packages_are_declared_or_well_known(tmp_path: Path) -> None:
    imports = "import numpy\nfrom scipy import optimize\nimport left_pad\nimport json\n"
    changes: dict[str, Change] = {
        "requirements.txt": "# comment\nnumpy>=1.26  # why\n-r more.txt\n",
        "peak.py": imports,
    }
    task = load("openevolve_plain", tmp_path, changes)
    assert task.file.environment.python == ["numpy>=1.26", "scipy"]
    assert "'-r more.txt' is no plain requirement" in notes(task)


def test_setup_of_graders(tmp_path: Path) -> None:
    lines = '    - "uv pip install -e ./grader[dev] numpy==2.1"\n    - "echo ready"\n'
    changes: dict[str, Change] = {
        "task.yaml": ('    - "uv pip install -e ./grader"\n', lines),
        "seed/pyproject.toml": '[project]\nname = "seed"\ndependencies = ["tqdm>=4"]\n',
        "grader/pyproject.toml": ('["coral"]', '["coral", "pyyaml"]'),
    }
    task = load("coral_packaged", tmp_path, changes)
    assert task.file.environment.python == ["numpy==2.1", "pyyaml", "tqdm>=4"]
    assert task.file.environment.setup == ["echo ready"]
    assert "extras [dev] are not installed" in notes(task)


def test_repositories_of_coral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths are relative to where CORAL is started, which may be anywhere above the task."""
    repo_path = ("./examples/coral_packaged/seed", "./{}")
    inside = copied("coral_packaged", tmp_path / "coral" / "examples", {"repo/main.py": "x = 1\n"})
    text = (inside / "task.yaml").read_text("utf-8")
    for named in ("examples/coral_packaged/repo", "repo"):
        changed = text.replace(repo_path[0], repo_path[1].format(named))
        (inside / "task.yaml").write_text(changed, "utf-8")
        files = {path.name for path in load_task(inside).seed.iterdir()}
        assert files == {"main.py", "solve.py"}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.py").write_text("x = 1\n", "utf-8")
    (inside / "seed" / "solve.py").unlink()
    (inside / "seed").rmdir()
    (inside / "task.yaml").write_text(text.replace(repo_path[0], "./elsewhere"), "utf-8")
    with pytest.raises(TaskError, match=r"(?s)'workspace\.repo_path' is '\./elsewhere'.*start"):
        load_task(inside)
    monkeypatch.chdir(tmp_path)
    assert {path.name for path in load_task(inside).seed.iterdir()} == {"other.py"}


def test_keys_of_ones_own_on_top(tmp_path: Path) -> None:
    over = "budget: {evaluations: 7}\nevaluator: {repeats: 3}\nbest_known: {value: 10, source: x}\n"
    task = load("openevolve_plain", tmp_path, {"harness_task.yaml": over})
    assert (task.file.budget.evaluations, task.file.evaluator.repeats) == (7, 3)
    assert task.file.evaluator.timeout_s == 50
    with pytest.raises(TaskError, match="colour"):
        load("shinka_plain", tmp_path, {"harness_task.yaml": "colour: blue\n"})


def test_made_once_and_anew_after_a_change(tmp_path: Path) -> None:
    folder = copied("openevolve_plain", tmp_path)
    first, again = load_task(folder), load_task(folder)
    assert (first.folder, first.hash) == (again.folder, again.hash)
    (folder / "peak.py").write_text("def height(x): return 1.0\n", "utf-8")
    changed = load_task(folder)
    assert changed.folder != first.folder
    assert changed.hash != first.hash
    assert load_task(first.folder).hash == first.hash


BROKEN: tuple[tuple[str, Mapping[str, Change], str], ...] = (
    ("openevolve_plain", {"evaluator.py": None}, r"and no evaluator\.py.*put evaluator\.py beside"),
    ("openevolve_plain", {"initial_program.rs": "x"}, r"has 2 files.*keep one of .*\.py, .*\.rs"),
    ("openevolve_plain", {"config.yaml": "a: [1\n"}, r"config\.yaml:2 is not YAML"),
    ("openevolve_plain", {"config.yaml": "- 1\n"}, "holds a list.*a mapping"),
    ("openevolve_plain", {"config.yaml": "evaluator: fast\n"}, "'evaluator' is 'fast'.*a mapping"),
    (
        "openevolve_plain",
        {"config.yaml": "evaluator: {timeout: soon}\n"},
        r"'evaluator\.timeout' is 'soon'.*a number",
    ),
    (
        "openevolve_plain",
        {"config.yaml": "evaluator: {timeout: -1}\n"},
        r"'evaluator\.timeout' is -1.*above 0",
    ),
    (
        "openevolve_plain",
        {"config.yaml": "evaluator: {cascade_thresholds: [high]}\n"},
        "cascade_thresholds' is .*a list of numbers",
    ),
    (
        "openevolve_plain",
        {"config.yaml": "prompt: {system_message: [a]}\n"},
        r"'prompt\.system_message' is .*a text",
    ),
    ("shinka_plain", {"evaluate.py": None}, r"has no task\.yaml.*ShinkaEvolve's"),
    ("shinka_plain", {"initial.rs": "x"}, r"has 2 files.*keep one of initial\.py, initial\.rs"),
    ("shinka_plain", {"shinka_plain.yaml": "evo_config: 1\n"}, "'evo_config' is 1.*a mapping"),
    ("coral_legacy", {"eval/grader.py": None}, r"neither 'grader\.entrypoint' nor .*grader\.py"),
    (
        "coral_legacy",
        {"task.yaml": ("timeout: 20", "type: function")},
        r"'grader\.type' is 'function'.*grader\.entrypoint, which took its place",
    ),
    (
        "coral_legacy",
        {"task.yaml": ("timeout: 20", "direction: up")},
        r"'grader\.direction' is 'up'.*maximize or minimize",
    ),
    (
        "coral_legacy",
        {"task.yaml": ("timeout: 20", "timeout: -5")},
        r"'grader\.timeout' is -5.*0 or more",
    ),
    (
        "coral_legacy",
        {"task.yaml": ("timeout: 20", "private: [nowhere]")},
        r"'grader\.private' is 'nowhere'.*a file or folder",
    ),
    ("coral_legacy", {"task.yaml": ("name: sum_of_table", "tips: none")}, r"'task\.name' is miss"),
    (
        "coral_legacy",
        {"task.yaml": "task: {name: x}\n"},
        r"'task\.description' is ''.*what agents are told",
    ),
    ("coral_legacy", {"seed/program.py": None}, "has no seed/ and names no repository"),
    (
        "coral_packaged",
        {"task.yaml": ("parabola_grader.grader:ParabolaGrader", "grader.py")},
        r"'grader\.entrypoint' is 'grader\.py'.*package\.module:Class",
    ),
    (
        "coral_packaged",
        {"task.yaml": ("-e ./grader", "-e ./judge")},
        r"installs '\./judge', which is no folder.*restore",
    ),
    (
        "coral_packaged",
        {"grader/pyproject.toml": "[project\n"},
        r"pyproject\.toml cannot be read.*correct it",
    ),
)
"""Example, what is changed in it, and what the three lines of the error say."""


@pytest.mark.parametrize(("name", "changes", "words"), BROKEN, ids=lambda each: str(each)[:40])
def test_what_makes_no_sense(
    tmp_path: Path, name: str, changes: Mapping[str, Change], words: str
) -> None:
    with pytest.raises(TaskError, match=f"(?s){words}"):
        load(name, tmp_path, changes)


@pytest.mark.parametrize("name", [name for name in SEED_SCORES if name != "command_style"])
def test_dangling_links(tmp_path: Path, name: str) -> None:
    folder = copied(name, tmp_path)
    link = folder / ("seed" if (folder / "seed").is_dir() else ".") / "data.txt"
    link.symlink_to("/nowhere/at/all")
    with pytest.raises(TaskError, match=r"(?s)data\.txt is a link that leads nowhere.*restore"):
        load_task(folder)


def test_links_that_lead_somewhere(tmp_path: Path) -> None:
    folder = copied("coral_legacy", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "more.txt").write_text("more", "utf-8")
    (folder / "eval" / "testdata").symlink_to(tmp_path / "data")
    task = load_task(folder)
    assert task.private is not None
    assert (task.private / "eval" / "testdata" / "more.txt").read_text() == "more"
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")
    with pytest.raises(TaskError, match="leads in a circle"):
        load_task(folder)


REFUSED: tuple[tuple[str, Mapping[str, Change], str], ...] = (
    ("openevolve_plain", {"initial_program.py": ("return search()", "return 2")}, "line 13 is"),
    ("openevolve_cascade", {"initial_program.py": ("# EVOLVE-BLOCK-END\n", "")}, "EVOLVE-BLOCK"),
    ("shinka_helper", {"initial.py": ("sum(values)", "99.0")}, "outside EVOLVE-BLOCK-START"),
    ("shinka_helper", {"initial.py": None}, "'initial.py' cannot be submitted: it was deleted"),
    ("command_style", {"lib/fixed.py": "def loss(rate): return 0\n"}, "'lib/fixed.py' cannot"),
    ("command_style", {"prepare.py": "x = 1\n"}, r"only files that match train.py, lib/\*\*"),
    ("command_style", {"other.py": "x = 1\n"}, "was added.*delete it"),
)
"""Example, what a submission changes, and what it is told."""


@pytest.mark.parametrize(("name", "changes", "words"), REFUSED)
def test_what_may_not_be_changed(
    tmp_path: Path, name: str, changes: Mapping[str, Change], words: str
) -> None:
    task = load(name, tmp_path)
    check = submission_rules(task).check
    assert check is not None
    same, other = job(task).submission, job(task, changes).submission
    assert isinstance(same, FilesSubmission)
    assert isinstance(other, FilesSubmission)
    check(same.held)
    with pytest.raises(SubmissionRefusedError, match=f"(?s){words}"):
        check(other.held)


def test_what_may_be_changed(tmp_path: Path) -> None:
    allowed: Mapping[str, Mapping[str, Change]] = {
        "openevolve_plain": {"initial_program.py": ("return X", "return X + 1")},
        "openevolve_async": {"initial_program.py": "VALUE = 7\n"},
        "command_style": {"train.py": "print('loss: 1')\n", "lib/new.py": "x = 1\n"},
    }
    for name, changes in allowed.items():
        task = load(name, tmp_path)
        submission = job(task, changes).submission
        assert isinstance(submission, FilesSubmission)
        check = submission_rules(task).check
        if check is not None:
            check(submission.held)
        assert (check is None) == (name == "openevolve_async")
