import json
from pathlib import Path

from coral.grader import TaskGrader
from coral.types import Score, ScoreBundle

from parabola_grader.distance import squared


class ParabolaGrader(TaskGrader):
    def evaluate(self) -> ScoreBundle:
        target = json.loads((Path(self.private_dir) / "answers" / "target.json").read_text())["x"]
        ended = self.run_program(self.args["program"])
        if ended.returncode:
            return self.fail(f"exit code {ended.returncode}", feedback=ended.stderr[-500:])
        lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
        if not lines:
            return self.fail("no JSON was printed")
        x = json.loads(lines[-1])["x"]
        (self.eval_logs_dir / "x.txt").write_text(str(x))
        value = squared(x, target) + self.args["offset"]
        return ScoreBundle(
            {"value": Score(value, "value", f"at x = {x}"), "x": Score(x, "x")},
            aggregated=value,
            feedback=f"in {self.budget_class} mode",
        )
