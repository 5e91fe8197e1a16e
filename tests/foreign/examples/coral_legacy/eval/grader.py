import subprocess
import sys
from pathlib import Path

from coral.grader.task_grader import TaskGrader

sys.path.insert(0, str(Path(__file__).parent))
from helper import error


class Grader(TaskGrader):
    def evaluate(self):
        script = (
            f"import json, sys\nsys.path.insert(0, {self.codebase_path!r})\n"
            "from program import values\nfound = values()\n"
            "print(json.dumps({'values': found}))\n"
        )
        found = self.run_script_json(script, timeout=self.timeout)["values"]
        command = [*self.get_python_command(), "-c", "print(6 * 7)"]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ended.stdout == "42\n", ended
        wanted = [float(word) for word in self.read_eval("table.txt").split()]
        assert self.read_eval_path("table.txt").is_file()
        if len(found) != len(wanted):
            return self.fail(f"{len(found)} numbers, not {len(wanted)}")
        return self.score(10.0 - error(found, wanted), explanation=f"of {len(wanted)} numbers")
