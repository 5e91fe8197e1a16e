"""Many runs of competitions: bounded in parallel, resumable, in the benchmark's own layout.

DIR/work/ID/seed-N/RUN                  the runs
DIR/runs/seed-N_group/metadata.json     a run group for each seed
DIR/runs/seed-N_group/ID_RUN/submission/submission.csv, logs/agent.log, code/
DIR/submission-seed-N.jsonl             for `mlebench grade`
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.run.folder import RunFolder
from harness.run.mlebench import REPORT, SUBMISSION, saved_report
from harness.run.views import read_run
from harness.sandbox.repository import Repository
from harness.tasks.mlebench.layout import find_competition, problems

PROGRAM = "from harness.cli.main import main; main()"


def present(names: Iterable[str], data_dir: Path) -> tuple[list[str], dict[str, str]]:
    """Competitions that can be run, and why the others cannot."""
    ready: list[str] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            told = [t for t in problems(find_competition(name, data_dir)) if "medals" not in t]
        except UserError as error:
            told = [error.wrong]
        if told:
            missing[name] = told[0]
        else:
            ready.append(name)
    return ready, missing


@dataclass(frozen=True, slots=True)
class Group:
    """A folder of runs; `words` are flags of each launch."""

    folder: Path
    data_dir: Path
    words: Sequence[str]

    def run(
        self, wanted: Sequence[tuple[str, int]], parallel: int
    ) -> Mapping[tuple[str, int], str]:
        """Run what has no report yet; returns what failed, and why. Blocking."""
        with ThreadPoolExecutor(parallel) as pool:
            names, seeds = [name for name, _ in wanted], [seed for _, seed in wanted]
            answers = list(pool.map(self._one, names, seeds))
        return {each: why for each, why in zip(wanted, answers, strict=True) if why}

    def run_of(self, competition: str, seed: int) -> RunFolder | None:
        """The run of a competition and a seed."""
        place = self.folder / "work" / competition / f"seed-{seed}"
        found = sorted(p for p in place.glob("[!.]*") if (p / "run.db").is_file())
        return RunFolder(found[0]) if found else None

    def _one(self, competition: str, seed: int) -> str:
        folder = self.run_of(competition, seed)
        if folder is None:
            runs = str(self.folder / "work" / competition / f"seed-{seed}")
            launch = ["launch", f"mlebench:{competition}", "--data-dir", str(self.data_dir)]
            command = [*launch, "--seed", str(seed), "--runs-dir", runs, *self.words]
        elif saved_report(folder) is not None:
            return ""
        elif read_run(folder).reason is None:
            command = ["resume", str(folder.path)]
        else:
            return self._call(["mlebench", "finish", str(folder.path)], competition, seed)
        return self._call([*command, "--display", "none"], competition, seed)

    def _call(self, command: Sequence[str], competition: str, seed: int) -> str:
        log = self.folder / "logs" / f"{competition}-seed-{seed}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            ended = subprocess.run(
                [sys.executable, "-P", "-c", PROGRAM, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return f"exit code {ended.returncode}, see {log}" if ended.returncode else ""

    def write_layout(self, seed: int) -> Path:
        """Write the run group of a seed, and its JSONL; returns the latter's path."""
        group = self.folder / "runs" / f"seed-{seed}_group"
        lines: list[str] = []
        runs: dict[str, dict[str, bool]] = {}
        for place in sorted((self.folder / "work").glob(f"*/seed-{seed}")):
            run = self.run_of(place.parent.name, seed)
            report = None if run is None else saved_report(run)
            if run is None or report is None:
                continue
            name = f"{place.parent.name}_{run.id}"
            target = group / name
            submission = _copy(run, target)
            runs[name] = {"success": bool(report["valid_submission"])}
            line = {
                "competition_id": place.parent.name,
                "submission_path": None if submission is None else str(submission),
                "logs_path": str(target / "logs" / "agent.log"),
                "code_path": str(target / "code" / "solve.py"),
            }
            lines.append(json.dumps(line))
        group.mkdir(parents=True, exist_ok=True)
        created = datetime.now(UTC).isoformat()
        content = {"run_group": group.name, "created_at": created, "runs": runs}
        (group / "metadata.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        path = self.folder / f"submission-seed-{seed}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path


def _copy(run: RunFolder, target: Path) -> Path | None:
    """A run's submission, its agents' transcripts and its best program."""
    shutil.rmtree(target, ignore_errors=True)  # of an earlier call
    for name in ("submission", "logs", "code"):
        (target / name).mkdir(parents=True, exist_ok=True)
    with (target / "logs" / "agent.log").open("wb") as log:
        for transcript in sorted(run.transcripts.glob("*.jsonl")):
            log.write(transcript.read_bytes())
    chosen = (saved_report(run) or {}).get("attempt")
    best = next((a for a in read_run(run).attempts if str(a.id) == chosen), read_run(run).best)
    if best is not None:
        repository = Repository.open(run.repository)
        try:
            repository.checkout(best.tree, target / "code")
        finally:
            repository.close()
    source = run.path / SUBMISSION
    if not source.is_file():
        return None
    return Path(shutil.copyfile(source, target / "submission" / "submission.csv"))


def read_reports(folder: Path) -> dict[int, dict[str, dict[str, Any]]]:
    """Reports by seed and competition.

    Raises:
        UserError: There is none.
    """
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob(f"work/*/seed-*/*/{REPORT}")):
        seed = int(path.parent.parent.name.removeprefix("seed-"))
        competition = path.parent.parent.parent.name
        found.setdefault(seed, {})[competition] = json.loads(path.read_text(encoding="utf-8"))
    if not found:
        raise UserError(
            f"no graded run below {folder}",
            expected="what `harness mlebench run` wrote",
            action=f"harness mlebench run --to {folder}",
        )
    return found
