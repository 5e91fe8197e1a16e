"""The base class of graders: what CORAL promises to those that derive from it."""

import json
import os
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from coral.types import Score, ScoreBundle, get_budget_class

GUARD = os.environ.get("HARNESS_GUARD", "")


class TaskGrader(ABC):
    """Derive from it and write `evaluate`."""

    def __init__(self, config):
        self.config = config
        self.tasks = []
        self.codebase_path = ""
        self.private_dir = ""

    @property
    def args(self):
        return self.config.args

    @property
    def timeout(self):
        return self.config.timeout or None

    @property
    def budget_class(self):
        return get_budget_class(self.tasks[0].metadata if self.tasks else None)

    @property
    def tune(self):
        return self.budget_class == "tune"

    def describe_tune(self):
        return "There is no cheaper evaluation: the whole one is made."

    @property
    def eval_logs_dir(self):
        """A folder for logs; what is in it ends with the evaluation."""
        folder = Path(tempfile.gettempdir(), "eval_logs", Path(self.codebase_path).name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def eval_logs_worktree_path(self, abs_path):
        parts = Path(abs_path).parts
        return Path(*parts[parts.index("eval_logs"):]) if "eval_logs" in parts else Path(abs_path)

    @abstractmethod
    def evaluate(self):
        """A number or a `ScoreBundle`."""

    def get_python_command(self):
        """The interpreter, behind a guard that drops the output of programs that were ended."""
        return [sys.executable, GUARD] if GUARD else [sys.executable]

    def run_program(self, filename, *cmd_args):
        path = Path(self.codebase_path) / filename
        if not path.exists():
            raise FileNotFoundError(f"{filename} is not in the submission")
        return self._run([str(path), *cmd_args], self.timeout, cwd=self.codebase_path)

    def run_script(self, script, *, timeout=300):
        return self._run(["-c", script], timeout)

    def run_script_json(self, script, *, timeout=300):
        """What the script prints as JSON: all of it, or its last line that is an object."""
        ended = self.run_script(script, timeout=timeout)
        if ended.returncode:
            raise RuntimeError(ended.stderr.strip()[-2000:])
        text = ended.stdout.strip()
        for candidate in (text, *reversed(text.splitlines())):
            if candidate is text or candidate.strip().startswith("{"):
                try:
                    return json.loads(candidate)
                except ValueError:
                    continue
        raise RuntimeError(
            f"the script printed no JSON\n{text[-500:]}\n{ended.stderr.strip()[-1000:]}"
        )

    def _run(self, arguments, timeout, cwd=None):
        command = [*self.get_python_command(), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=timeout)

    def read_eval(self, relative_path):
        path = self.read_eval_path(relative_path)
        if not path.exists():
            raise FileNotFoundError(f"there is no eval/{relative_path}")
        return path.read_text()

    def read_eval_path(self, relative_path):
        return Path(self.private_dir) / "eval" / relative_path

    def score(self, value, explanation="", feedback=None, metadata=None):
        return self.bundle(value, explanation, feedback, metadata)

    def fail(self, explanation="", feedback=None):
        return self.bundle(None, explanation, feedback)

    def bundle(self, value, explanation="", feedback=None, metadata=None):
        part = Score(value, "eval", explanation or None)
        return ScoreBundle({"eval": part}, value, feedback=feedback, metadata=metadata or {})

    async def grade(self, codebase_path, tasks, **unused):
        """Evaluate; whoever calls it keeps the time."""
        self.codebase_path = codebase_path
        self.tasks = tasks
        result = self.evaluate()
        if isinstance(result, ScoreBundle):
            return result
        value = float(result)
        return ScoreBundle({"eval": Score(value, "eval")}, value)
