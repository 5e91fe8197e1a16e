"""A native task made of a competition; it lies beside the competition's data, never in a run."""

import hashlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError
from harness.tasks.folder import data_digest
from harness.tasks.mlebench import modality, twins
from harness.tasks.mlebench.layout import Competition, read_leaderboard
from harness.tasks.mlebench.metrics import LOWER_IS_BETTER
from harness.tasks.mlebench.sampling import write_sample
from harness.tasks.mlebench.views import (
    About,
    NoSplitError,
    link_tree,
    plan_split,
    unable,
    write_about,
    write_views,
)

HERE = Path(__file__).resolve().parent
SCHEME = "mlebench:"
HIDDEN, SELF_REPORTED = "hidden", "self_reported"
TIMEOUT_S = 3600.0
SAMPLE_STAGE = {
    "name": "sample",
    "threshold": 0.0,
    "evaluator": {
        "produce": ["python", "solve.py", "{sample}"],
        "judge": "judge.py:sample",
        "judge_sees": [],
        "timeout_s": 600.0,
    },
}
"""Before the whole: does the program run at all? What it scores there is not asked."""
ENVIRONMENT = ("numpy", "scikit-learn")
RULES = """\
You take part in a machine-learning competition.

**Work**: edit `solve.py`; further files beside it may be added. The command runs in the
submission's folder; its last argument is the folder with the data, which you see read-only as
well. It must fit models on the training data there and write `submission.csv` for the test data
there, in the form of the sample submission. `competition.json` in the data folder has metric,
columns and direction.

**Score**: the competition's metric on rows that were held back from the training data and stand in
place of the test. When the budget is used up, the best program runs once more on the whole public
data, with another test of the same form: read ids, rows and classes from the files, never by heart.
Where there are many data, the program is first run on a small part of them; what crashes there goes
no further.

**How to work**: validate by folds of the training data and trust them more than a small gain in
score. Print the result as a line `validation score: NUMBER`, by the competition's metric:
`competition_metrics.py` in the data folder has `grade_files(submission, answers, metric)`. A
validation that is far better than the hidden one is marked as overfitting. Look for leaks: ids,
duplicates, targets in disguise, statistics of the test in the features. At the end blend what is
different and good. Labels written by hand and data from elsewhere are forbidden.

"""
SELF_RULES = """\
You take part in a machine-learning competition.

**Work**: edit `solve.py`; further files beside it may be added. The command's last argument is the
folder with the data, read-only. It must write `submission.csv` for the test data, in the form of
the sample submission, and `validation.json`: {"score": NUMBER}, the competition's metric by an
honest cross-validation on the training data. That number is the score; verdicts are marked as
self-reported.

"""


@dataclass(frozen=True, slots=True)
class NativeTask:
    """A task folder made of a competition, and the view its best program is run on at the end."""

    folder: Path
    final: Path


def native_task(
    competition: Competition, *, gpus: float = 0, self_reported: bool = False
) -> NativeTask:
    """The task folder for a competition, made where it is missing. Blocking.

    Raises:
        UserError: Data are missing, no hidden split can be made, or nothing can be written.
    """
    if not competition.public.is_dir():
        raise UserError(
            f"{competition.public} is missing",
            expected="a prepared competition",
            action=f"harness mlebench check {competition.id} --data-dir {competition.data_dir}",
        )
    mode = SELF_REPORTED if self_reported else HIDDEN
    root = competition.folder / "harness" / f"{mode}-{_recipe(competition)}-{gpus:g}"
    if not root.is_dir():
        draft = root.with_name(f".draft-{secrets.token_hex(4)}")
        try:
            _make(competition, draft, root, gpus, self_reported=self_reported)
            draft.rename(root)
        except NoSplitError as error:
            raise unable(competition.id, str(error)) from None
        except OSError as error:
            if not root.is_dir():  # else somebody made it meanwhile
                raise UserError(
                    f"{root} cannot be made: {error.strerror or error}",
                    expected="a data folder that can be written, with space",
                    action="name another one with --data-dir",
                ) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return NativeTask(root / "task", root / "final")


def _recipe(competition: Competition) -> str:
    """Changes with the competition's data, and with what this package makes of them."""
    digest = hashlib.sha256(data_digest(competition.public).encode())
    templates = sorted(path for path in (HERE / "template").rglob("*.*"))
    for path in (*templates, *sorted(HERE.glob("*.py")), *sorted(modality.KNOWLEDGE.glob("*.md"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _make(
    competition: Competition, draft: Path, root: Path, gpus: float, *, self_reported: bool
) -> None:
    task, search, final = draft / "task", draft / "search", draft / "final"
    private = task / "private"
    template = HERE / "template"
    plan, sampled = None, False
    if self_reported:
        about = _about_self(competition)
        private.mkdir(parents=True)
        shutil.copyfile(competition.sample, private / "sample.csv")
    else:
        plan = plan_split(competition)
        about = plan.about
        search.mkdir(parents=True)
        write_views(competition, plan, search, private)
        _equip(competition, about, search)
        sampled = write_sample(plan, search, draft / "sample", private)
    link_tree(competition.public, final)
    if not (final / about.sample_submission).exists():
        shutil.copyfile(competition.sample, final / about.sample_submission)
    _equip(competition, about, final)
    shown = final if self_reported else search
    for part in ("evaluator", "prompts"):
        shutil.copytree(template / part, task / part)
    for module in ("metrics.py", "checks.py"):
        shutil.copyfile(HERE / module, task / "evaluator" / module)
    if self_reported:
        (task / "seed").mkdir()
        shutil.copyfile(template / "self_reported_seed.py", task / "seed" / "solve.py")
    else:
        shutil.copytree(template / "seed", task / "seed")
    modality.write_knowledge(shown, task / "knowledge")
    if plan is not None:
        twins.write_note(plan, search, task / "knowledge")
    data: dict[str, Any] = {"path": str(root / shown.name), "digest": data_digest(shown)}
    if sampled:
        digest = data_digest(draft / "sample")
        data["sample"] = {"path": str(root / "sample"), "digest": digest}
    content = _task_file(competition, about, data, gpus, self_reported)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (task / "task.yaml").write_text(text, encoding="utf-8")
    _open_to_all(draft)
    private.chmod(0o700)  # the judge gets a copy


def _about_self(competition: Competition) -> About:
    metric = competition.metric or str(competition.config.get("grader", {}).get("name", "?"))
    columns = competition.sample.read_text(encoding="utf-8-sig").splitlines()[0].split(",")
    lower = metric in LOWER_IS_BETTER or _lower(competition)
    direction = "minimize" if lower else "maximize"
    return About(metric, direction, columns, "label", None, competition.sample.name)


def _lower(competition: Competition) -> bool:
    """By the leaderboard; without one, and without a known metric, nobody can tell."""
    board = read_leaderboard(competition.leaderboard)
    if board is None and competition.metric is None:
        raise UserError(
            f"nothing says whether lower or higher scores of {competition.id} are better",
            expected="its leaderboard.csv",
            action="git lfs pull in the benchmark's repository",
        )
    return board is not None and board[0] < board[-1]


def _equip(competition: Competition, about: About, view: Path) -> None:
    """Beside the data: what they are, the metric as a program can compute it, the description."""
    write_about(about, view)
    shutil.copyfile(HERE / "metrics.py", view / "competition_metrics.py")
    if not (view / "description.md").exists():
        named = competition.config.get("description")
        source = competition.data_dir / str(named)
        if named and source.is_file():
            shutil.copyfile(source, view / "description.md")


def _task_file(
    competition: Competition,
    about: About,
    data: dict[str, Any],
    gpus: float,
    self_reported: bool,
) -> dict[str, Any]:
    path = competition.public / "description.md"
    told = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    rules = SELF_RULES if self_reported else RULES
    outputs, sees = ["submission.csv"], ["printed", "submission"]
    if self_reported:
        outputs, sees = [*outputs, "validation.json"], []
    stages = [SAMPLE_STAGE] if "sample" in data else []
    name = "".join(c if c.isalnum() else "_" for c in competition.id.lower())
    return {
        "name": f"mlebench_{name}",
        "description": f"{rules}Metric: {about.metric}.\n\n{told}",
        "direction": about.direction,
        "submission": {"include": ["**"], "max_bytes": 64 * 1024**2},
        "evaluator": {
            "kind": "answer",
            "produce": ["python", "solve.py", "{data}"],
            "outputs": outputs,
            "judge_sees": sees,
            "stages": stages,
            "judge": f"{'self_reported' if self_reported else 'judge'}.py:judge",
            "timeout_s": TIMEOUT_S,
            "judge_timeout_s": 600.0,
            "max_output_bytes": 1024**3,
        },
        "limits": {"cpus": 1, "memory": "8GiB", "gpus": gpus, "pids": 256},
        "environment": {
            "python": list(ENVIRONMENT),
            "data": data,
        },
        "budget": {"evaluations": 100, "hours": 12.0},
    }


def _open_to_all(folder: Path) -> None:
    """Folders, and files that are ours alone (not links to the user's), for a sandbox's uid."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        elif path.stat().st_nlink == 1:
            path.chmod(0o644)


def mode_of(task_folder: Path) -> str:
    """`hidden` or `self_reported`: where the fitness of a task's verdicts comes from."""
    text = (task_folder / "task.yaml").read_text(encoding="utf-8")
    return SELF_REPORTED if "self_reported.py:judge" in text else HIDDEN
