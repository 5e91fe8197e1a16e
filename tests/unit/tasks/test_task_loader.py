"""What a task folder may look like, and what its author is told when it doesn't."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import TaskError
from harness.tasks.base import TaskFile
from harness.tasks.evaluation import ServeSpec
from harness.tasks.loader import library, load_task
from harness.tasks.scaffold import new_task, suggestion
from harness.tasks.strict_yaml import key_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_task("curve", tmp_path)


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "task.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def refused(folder: Path | str) -> TaskError:
    with pytest.raises(TaskError) as caught:
        load_task(folder)
    assert len(str(caught.value).splitlines()) == 3
    return caught.value


def test_the_scaffold_is_a_valid_task(folder: Path) -> None:
    task = load_task(folder)
    assert task.name == "curve"
    assert task.direction == "minimize"
    assert task.file.limits.memory_bytes == 512 * 1024**2
    assert task.private == folder / "private"
    assert load_task(folder / "task.yaml").hash == task.hash


def test_relative_paths_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert load_task("./curve").folder == folder.resolve()
    assert load_task("curve").folder == folder.resolve()


def test_every_library_task_loads() -> None:
    for name, path in library().items():
        assert load_task(name).folder == path
        assert load_task(name).name == name


def test_unknown_key_names_file_line_and_nearest(folder: Path) -> None:
    edit(folder, "  timeout_s: 20 ", "  timout_s: 20 ")
    error = refused(folder)
    line = (folder / "task.yaml").read_text(encoding="utf-8").splitlines()
    expected = next(number for number, text in enumerate(line, 1) if "timout_s" in text)
    assert f"task.yaml:{expected}: unknown key 'evaluator.timout_s'" in error.wrong
    assert "'evaluator.timeout_s'" in error.action


def test_typo_in_a_required_key_is_told_as_the_typo(folder: Path) -> None:
    edit(folder, "direction: minimize", "directoin: minimize")
    error = refused(folder)
    assert "unknown key 'directoin' (and 1 more)" in error.wrong
    assert "'direction'" in error.action


def test_unknown_key_inside_an_optional_section(folder: Path) -> None:
    edit(folder, "  source: the mean", "  sorce: the mean")
    assert "'baseline.source'" in refused(folder).action


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("direction: minimize", "direction: smaller", "'direction' is 'smaller'"),
        ("timeout_s: 20 ", "timeout_s: soon ", "'evaluator.timeout_s' is 'soon'"),
        ("timeout_s: 20 ", "timeout_s: -1 ", "'evaluator.timeout_s' is -1"),
        ("timeout_s: 20 ", "timeout_s: true ", "'evaluator.timeout_s' is True"),
        ("value: 0.564", "value: .nan", "'baseline.value' is '.nan'"),
        ("memory: 512MiB", "memory: 512MB", "'limits.memory' is '512MB'"),
        ("memory: 512MiB", "memory: 1MiB", "'limits.memory' is '1MiB'"),
        ("produce: [python, solve.py] ", "produce: python solve.py ", "'evaluator.produce' is"),
        ("produce: [python, solve.py] ", "produce: [python, 3] ", "'evaluator.produce[1]' is 3"),
        ("produce: [python, solve.py] ", 'produce: ["python solve.py"] ', "produce[0]' is 'python"),
        ("produce: [python, solve.py] ", "produce: [python, x.py] ", "runs 'x.py'"),
        ("produce: [python, solve.py] ", "produce: [./run.sh] ", "runs './run.sh'"),
        ("outputs: [answer.json]", "outputs: [../answer.json]", "'evaluator.outputs[0]' is"),
        ("outputs: [answer.json]", "outputs: [/answer.json]", "'evaluator.outputs[0]' is"),
        ("outputs: [answer.json]", "outputs: [a, a]", "names a file twice"),
        ("judge: judge.py:judge", "judge: judge.py", "'evaluator.judge' is 'judge.py'"),
        ("judge: judge.py:judge", "judge: jugde.py:judge", "jugde.py is missing"),
        ("judge: judge.py:judge", "judge: judge.py:predictt", "no function 'predictt'"),
        ("judge: judge.py:judge", "judge: judge.py:predict", "cannot be called so"),
        ("judge: judge.py:judge", "judge: ../seed/solve.py:fit", "'evaluator.judge' is"),
        ("name: curve", "name: Curve", "'name' is 'Curve'"),
        ("name: curve", "name: curve\nname: other", "key 'name' is there twice"),
        ("name: curve", "name: [curve", "task.yaml:"),
        ("name: curve", "", "key 'name' is missing"),
    ],
)
def test_wrong_values(folder: Path, old: str, new: str, wrong: str) -> None:
    edit(folder, old, new)
    assert wrong in refused(folder).wrong


@pytest.fixture
def served(folder: Path) -> Path:
    edit(folder, "  outputs: [answer.json]\n", "  kind: serve\n")
    edit(folder, "produce: [python, solve.py] ", "produce: [python, -m, harness_serve, solve.py] ")
    judge = folder / "evaluator" / "judge.py"
    judge.write_text("def judge(candidate, private, seed):\n    return {}\n", encoding="utf-8")
    return folder


def test_a_task_of_another_kind(served: Path) -> None:
    spec = load_task(served).file.evaluator
    assert isinstance(spec, ServeSpec)
    assert (spec.kind, spec.call_timeout_s, spec.baseline) == ("serve", None, None)


@pytest.mark.parametrize(
    ("old", "new", "wrong", "remedy"),
    [
        ("kind: serve", "kind: sevre", "'evaluator.kind' is 'sevre'", "'serve'"),
        ("kind: serve", "kind: 3", "'evaluator.kind' is 3", "correct it"),
        ("kind: serve", "kind: serve\n  outputs: [a]", "unknown key 'evaluator.outputs'", "answer"),
        ("kind: serve", "", "key 'evaluator.outputs' is missing", "`outputs: …`"),
        ("kind: serve", "kind: answer\n  baseline: x", "unknown key 'evaluator.baseline'", "serve"),
        ("kind: serve", "kind: serve\n  call_timeout: 1", "'evaluator.call_timeout'", "timeout_s'"),
        ("kind: serve", "kind: serve\n  call_timeout_s: 0", "'evaluator.call_timeout_s' is 0", ""),
        ("kind: serve", "kind: serve\n  baseline: slow", "slow is missing", "mkdir"),
        ("kind: serve", "kind: serve\n  baseline: ..", "'evaluator.baseline' is '..'", ""),
        ("harness_serve, solve.py", "harness_serve, x.py", "runs 'x.py'", "x.py"),
        ("judge.py:judge", "judge.py:other", "no function 'other'", ""),
    ],
)
def test_mistakes_in_the_keys_of_a_kind(
    served: Path, old: str, new: str, wrong: str, remedy: str
) -> None:
    edit(served, old, new)
    error = refused(served)
    assert wrong in error.wrong
    assert remedy in error.action


STAGE = "  stages: [{{name: a, threshold: 1, evaluator: {{{keys}}}}}{more}]\n  timeout_s"


@pytest.mark.parametrize(
    ("keys", "more", "wrong"),
    [
        ("judge: 'judge.py:other'", "", "no function 'other'"),
        ("kind: serve", "", "stage 'a' cannot change 'kind'"),
        ("repeats: 0", "", "stage 'a': repeats: "),
        ("reapeats: 2", "", "stage 'a': reapeats: "),
        ("", ", {name: a, threshold: 2}", "the same name"),
        ("", ", {name: b}", "threshold"),
        ("", ", {name: b, threshold: .nan}", "threshold"),
        ("produce: [python, x.py]", "", "runs 'x.py'"),
    ],
)
def test_mistakes_in_stages(folder: Path, keys: str, more: str, wrong: str) -> None:
    edit(folder, "  timeout_s", STAGE.format(keys=keys, more=more))
    assert wrong in str(refused(folder))


def test_a_stage_changes_some_keys(folder: Path) -> None:
    edit(folder, "  timeout_s", STAGE.format(keys="timeout_s: 3", more=""))
    spec = load_task(folder).file.evaluator
    (stage,) = spec.variations
    assert (stage.timeout_s, stage.stages, spec.timeout_s) == (3, [], 20)


@pytest.fixture
def repository(folder: Path) -> Path:
    edit(folder, "  outputs: [answer.json]\n", "  kind: repository\n")
    edit(folder, "produce: [python, solve.py] ", "build: [python, solve.py] ")
    edit(folder, "  judge: judge.py:judge\n", "")
    tests = folder / "evaluator" / "tests"
    tests.mkdir()
    (tests / "test_it.py").write_text("from harness_repository import RepositoryTest\n", "utf-8")
    return folder


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("kind: repository", "kind: repository\n  tests: ../tests", "'evaluator.tests' is"),
        ("kind: repository", "kind: repository\n  tests: more", "more is missing"),
        ("kind: repository", "kind: repository\n  judge: a.py:b", "unknown key 'evaluator.judge'"),
        ("[python, solve.py]", "[python, x.py]", "'evaluator.build' runs 'x.py'"),
        ("[python, solve.py]", "[python solve.py]", "'evaluator.build[0]' is 'python solve.py'"),
    ],
)
def test_mistakes_in_a_repository(repository: Path, old: str, new: str, wrong: str) -> None:
    assert load_task(repository).file.evaluator.kind == "repository"
    edit(repository, old, new)
    assert wrong in refused(repository).wrong


def test_tests_of_a_repository_are_python(repository: Path) -> None:
    (repository / "evaluator" / "tests" / "test_it.py").write_text("def", encoding="utf-8")
    assert "test_it.py:1:" in refused(repository).wrong
    (repository / "evaluator" / "tests" / "test_it.py").unlink()
    assert "has no test_*.py" in refused(repository).wrong


def test_a_judge_of_another_kind_is_called_otherwise(served: Path) -> None:
    judge = served / "evaluator" / "judge.py"
    judge.write_text("def judge(candidate):\n    return {}\n", encoding="utf-8")
    assert "candidate, private, seed" in refused(served).expected


def test_syntax_error_has_its_line(folder: Path) -> None:
    (folder / "task.yaml").write_text("name: a\ndirection: [\n  oops: }\n", encoding="utf-8")
    assert "task.yaml:3:" in refused(folder).wrong


def test_plain_scalars_mean_what_they_look_like(folder: Path) -> None:
    edit(folder, "value: 0.564", "value: 5e-1")
    edit(folder, "source: the mean", "source: no\n  #")
    task = load_task(folder)
    assert task.file.baseline is not None
    assert task.file.baseline.value == 0.5
    assert task.file.baseline.source == "no"


@pytest.mark.parametrize(
    "content",
    [b"", b"just text", b"\xff\xfe", b"a: 1\n---\nb: 2\n", b"[" * 1500],
    ids=["empty", "text", "binary", "two", "nested"],
)
def test_not_a_task_file(folder: Path, content: bytes) -> None:
    (folder / "task.yaml").write_bytes(content)
    assert "task.yaml" in refused(folder).wrong


def test_missing_parts(folder: Path) -> None:
    shutil.move(folder / "seed", folder / "sead")
    assert "seed is missing" in refused(folder).wrong
    (folder / "seed").mkdir()
    assert "seed is empty" in refused(folder).wrong
    (folder / "seed" / "solve.py").write_text("", encoding="utf-8")
    shutil.rmtree(folder / "evaluator")
    assert "evaluator is missing" in refused(folder).wrong
    (folder / "evaluator").symlink_to("nowhere")
    assert "evaluator is a broken link" in refused(folder).wrong


def test_private_may_be_missing(folder: Path) -> None:
    shutil.rmtree(folder / "private")
    task = load_task(folder)
    assert (task.private, task.private_hash) == (None, None)


def test_links(folder: Path, tmp_path: Path) -> None:
    (folder / "private" / "same.json").symlink_to("points.json")
    load_task(folder)
    (folder / "seed" / "same.json").symlink_to("train.json")
    assert "same.json is a link to" in refused(folder).wrong
    (folder / "seed" / "same.json").unlink()
    (folder / "seed" / "bad").symlink_to("gone.json")
    assert "bad is a broken link (to gone.json)" in refused(folder).wrong
    (folder / "seed" / "bad").unlink()
    (tmp_path / "outside").write_text("x", encoding="utf-8")
    (folder / "private" / "out").symlink_to(tmp_path / "outside")
    assert "is a link to" in refused(folder).wrong
    (folder / "private" / "out").unlink()
    os.mkfifo(folder / "seed" / "pipe")
    assert "neither a file nor a folder" in refused(folder).wrong


def test_judge_with_a_syntax_error(folder: Path) -> None:
    (folder / "evaluator" / "judge.py").write_text("def judge(:\n", encoding="utf-8")
    assert "judge.py:1:" in refused(folder).wrong


def test_unknown_reference_suggests_a_name(tmp_path: Path) -> None:
    assert "neither in the library nor a folder" in refused("no_such_task").wrong
    assert "has no task.yaml" in refused(tmp_path).wrong
    for name in library():
        assert repr(name) in refused(name + "x").action


def test_hash_tells_what_changed(folder: Path, tmp_path: Path) -> None:
    task = load_task(folder)
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    (copy / "seed" / "__pycache__").mkdir()
    (copy / "seed" / "__pycache__" / "x.pyc").write_bytes(b"x")
    os.utime(copy / "task.yaml", (0, 0))
    assert load_task(copy).hash == task.hash
    (copy / "private" / "points.json").write_text("{}", encoding="utf-8")
    changed = load_task(copy)
    assert changed.hash == task.hash
    assert changed.private_hash != task.private_hash
    (copy / "seed" / "solve.py").write_text("pass", encoding="utf-8")
    assert load_task(copy).hash != task.hash


def test_hash_covers_names_not_only_contents(folder: Path) -> None:
    before = load_task(folder).hash
    (folder / "seed" / "train.json").rename(folder / "seed" / "data.json")
    assert load_task(folder).hash != before


@pytest.mark.parametrize("name", ["Bad-Name", "1st", "class", "", "a/b", ".."])
def test_scaffold_refuses_bad_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="is not a task name"):
        new_task(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_scaffold_overwrites_nothing(folder: Path) -> None:
    with pytest.raises(TaskError, match="is there already"):
        new_task("curve", folder.parent)


@given(st.text(max_size=20))
def test_suggested_names_are_valid(name: str) -> None:
    TaskFile.__pydantic_validator__.validate_assignment(
        TaskFile.model_construct(), "name", suggestion(name)
    )


def test_key_names() -> None:
    assert key_name(("evaluator", "produce", 0)) == "evaluator.produce[0]"
