"""How evaluations end: for each format what can go wrong in the task and in the candidate."""

from tests.foreign.example import Case

from harness.attempt import Status

SCORED, FAILED, INVALID = Status.SCORED, Status.FAILED, Status.INVALID
TIMEOUT, BROKEN = Status.TIMEOUT, Status.EVALUATOR_ERROR

EVALUATE = "def evaluate(program_path):\n    {}\n"
SHINKA = (
    "import sys, time\nfrom pathlib import Path\n"
    "results = Path(sys.argv[sys.argv.index('--results_dir') + 1])\n"
)
GRADER = (
    "import time\nfrom coral.grader import TaskGrader\n"
    "class Grader(TaskGrader):\n    def evaluate(self):\n        {}\n"
)
HASTY = ("timeout: 20", "timeout: 1")
SLEEPS = "import time\ntime.sleep(60)\n"

OPENEVOLVE = (
    Case("imports what is not there", "openevolve_plain", BROKEN, ("nothing_there",),
         task_files={"evaluator.py": "import nothing_there\n" + EVALUATE.format("return {}")}),
    Case("has no evaluate", "openevolve_plain", BROKEN, ("no function evaluate",),
         task_files={"evaluator.py": "x = 1\n"}),
    Case("is no Python", "openevolve_plain", BROKEN, ("SyntaxError",),
         task_files={"evaluator.py": "def evaluate(\n"}),
    Case("raises", "openevolve_plain", FAILED, ("ValueError: no such height",),
         task_files={"peak.py": "def height(x): raise ValueError('no such height')\n"}),
    Case("returns a list", "openevolve_plain", FAILED, ("a dictionary of metrics", "(list)"),
         task_files={"evaluator.py": EVALUATE.format("return [1]")}),
    Case("returns nothing", "openevolve_plain", FAILED, ("NoneType",),
         task_files={"evaluator.py": EVALUATE.format("pass")}),
    Case("returns no number", "openevolve_plain", FAILED, ("no number among", "why"),
         task_files={"evaluator.py": EVALUATE.format("return {'why': 'text'}")}),
    Case("returns a text as the score", "openevolve_plain", FAILED, ("'high', not a number",),
         task_files={"evaluator.py": EVALUATE.format("return {'combined_score': 'high'}")}),
    Case("returns NaN", "openevolve_plain", INVALID, ("not a finite",),
         files={"initial_program.py": ("X = 1.0", "X = float('nan')")}),
    Case("returns infinity", "openevolve_plain", INVALID, ("not a finite",),
         files={"initial_program.py": ("X = 1.0", "X = float('-inf')")}),
    Case("takes too long", "openevolve_plain", TIMEOUT, ("longer than 1 s",),
         task_files={"config.yaml": HASTY}, files={"initial_program.py": SLEEPS}),
    Case("catches everything and takes too long", "openevolve_plain", TIMEOUT, ("longer than 1 s",),
         task_files={"config.yaml": HASTY, "evaluator.py": "import time\n" + EVALUATE.format(
             "try: time.sleep(60)\n    except: return {'combined_score': 5.0}")}),
    Case("is no Python itself", "openevolve_plain", FAILED, ("SyntaxError",),
         files={"initial_program.py": "def run_search(:\n"}),
    Case("features are no fitness", "openevolve_plain", SCORED, score=4.0,
         task_files={"evaluator.py": EVALUATE.format("return {'x': 100, 'good': 4.0}")}),
    Case("takes too long", "openevolve_async", TIMEOUT, ("longer than 1 s",),
         task_files={"config.yaml": HASTY, "evaluator.py": "import asyncio\nasync " +
                     EVALUATE.format("await asyncio.sleep(60)")}),
    Case("without configuration", "openevolve_async", SCORED, score=3.0,
         task_files={"config.yaml": None}),
)  # fmt: skip

CASCADE = (
    Case("below the first threshold", "openevolve_cascade", SCORED, score=0.2, metrics={"a": 0.2},
         words=("first: stage one", "reached 0.2, 0.3 are needed"),
         files={"initial_program.py": ("A = 0.4", "A = 0.2")}),
    Case("at the first, below the second", "openevolve_cascade", SCORED, score=0.6,
         metrics={"a": 0.3, "b": 0.3}, words=("reached 0.6, 0.8 are needed",),
         files={"initial_program.py": "A = 0.3\nB = 0.3\n"}),
    Case("a later stage raises", "openevolve_cascade", SCORED, score=0.4,
         metrics={"a": 0.4, "stage2_passed": 0.0}, words=("B is negative", "evaluate_stage2"),
         files={"initial_program.py": ("B = 0.5", "B = -1")}),
    Case("the first stage raises", "openevolve_cascade", FAILED, ("AttributeError",),
         files={"initial_program.py": "B = 1\n"}),
    Case("a stage takes too long", "openevolve_cascade", TIMEOUT, ("longer than 1 s",),
         task_files={"config.yaml": HASTY, "evaluator.py": (
             'raise ValueError("B is negative")', "import time; time.sleep(60)")},
         files={"initial_program.py": ("B = 0.5", "B = -1")}),
    Case("switched off", "openevolve_cascade", FAILED, ("this is not called",),
         task_files={"config.yaml": ("cascade_evaluation: true", "cascade_evaluation: false")}),
)  # fmt: skip

SHINKAEVOLVE = (
    Case("imports what is not there", "shinka_plain", BROKEN, ("nothing_there",),
         task_files={"evaluate.py": "import nothing_there\n"}),
    Case("imports what the shim does not have", "shinka_plain", BROKEN, ("'shinka.llm'",),
         task_files={"evaluate.py": "from shinka.core import run_shinka_eval\n"
                     "from shinka.llm import LLMClient\n"}),
    Case("is no Python", "shinka_plain", BROKEN, ("SyntaxError",),
         task_files={"evaluate.py": "def main(\n"}),
    Case("raises", "shinka_plain", FAILED, ("KeyError: 'VALUE'",),
         files={"initial.py": "OTHER = 1\n"}),
    Case("writes nothing", "shinka_plain", FAILED, ("wrote no correct.json",),
         task_files={"evaluate.py": "x = 1\n"}),
    Case("writes no metrics", "shinka_plain", FAILED, ("wrote no metrics.json",),
         task_files={"evaluate.py":
                     SHINKA + "(results / 'correct.json').write_text('{\"correct\": true}')\n"}),
    Case("writes no JSON", "shinka_plain", FAILED, ("correct.json is not JSON",),
         task_files={"evaluate.py": SHINKA + "(results / 'correct.json').write_text('yes')\n"}),
    Case("writes a list", "shinka_plain", FAILED, ("holds a list",),
         task_files={"evaluate.py": SHINKA + "(results / 'correct.json').write_text('[]')\n"}),
    Case("writes a score that is none", "shinka_plain", FAILED, ("'high' (str), not a number",),
         task_files={"evaluate.py": ('"combined_score": value', '"combined_score": "high"')}),
    Case("writes no score", "shinka_plain", FAILED, ("no 'combined_score'", "value"),
         task_files={"evaluate.py": ('"combined_score": value', '"value": value')}),
    Case("not correct", "shinka_plain", INVALID, ("not correct", "too large", "measured"),
         metrics={"value": 200.0}, files={"initial.py": ("VALUE = 4.0", "VALUE = 200.0")}),
    Case("NaN", "shinka_plain", INVALID, ("not correct",),
         files={"initial.py": ("VALUE = 4.0", "VALUE = float('nan')")}),
    Case("NaN that is correct", "shinka_plain", INVALID, ("not a finite",),
         task_files={"evaluate.py": ("correct = value < 100", "correct = True")},
         files={"initial.py": ("VALUE = 4.0", "VALUE = float('nan')")}),
    Case("takes too long", "shinka_helper", TIMEOUT, ("timeout",),
         task_files={"run_evo.py": ("00:00:20", "00:00:02")}, files={"initial.py": SLEEPS}),
    Case("not valid", "shinka_helper", INVALID, ("not correct", "the sum is 4.0, not 5.0"),
         metrics={"num_invalid_runs": 2.0},
         files={"initial.py": "def run_experiment(seed): return [4.0], 5.0\n"}),
    Case("the experiment raises", "shinka_helper", INVALID, ("ValueError: no experiment",),
         files={"initial.py": "def run_experiment(seed): raise ValueError('no experiment')\n"}),
    Case("no such experiment", "shinka_helper", INVALID, ("run_experiment",),
         files={"initial.py": "x = 1\n"}),
)  # fmt: skip

CORAL = (
    Case("no such module", "coral_packaged", BROKEN, ("nothing_there",),
         task_files={"task.yaml": ("parabola_grader.grader:", "nothing_there.grader:")}),
    Case("no such class", "coral_packaged", BROKEN, ("no class 'Other'",),
         task_files={"task.yaml": (":ParabolaGrader", ":Other")}),
    Case("no grader", "coral_legacy", BROKEN, ("no class that derives from TaskGrader",),
         task_files={"eval/grader.py": "class Grader: pass\n"}),
    Case("is no Python", "coral_legacy", BROKEN, ("SyntaxError",),
         task_files={"eval/grader.py": "class Grader(\n"}),
    Case("raises", "coral_legacy", FAILED, ("ValueError: bad day",),
         task_files={"eval/grader.py": GRADER.format("raise ValueError('bad day')")}),
    Case("returns a text", "coral_legacy", FAILED, ("could not convert",),
         task_files={"eval/grader.py": GRADER.format("return 'high'")}),
    Case("returns nothing", "coral_legacy", FAILED, ("NoneType",),
         task_files={"eval/grader.py": GRADER.format("pass")}),
    Case("returns an integer", "coral_legacy", SCORED, score=3.0,
         task_files={"eval/grader.py": GRADER.format("return 3")}),
    Case("returns NaN", "coral_legacy", INVALID, ("not a finite",),
         task_files={"eval/grader.py": GRADER.format("return float('nan')")}),
    Case("refuses", "coral_legacy", INVALID, ("eval: 3 numbers, not 2",),
         files={"program.py": "def values(): return [1.0, 2.0, 3.0]\n"}),
    Case("takes too long", "coral_legacy", TIMEOUT, ("longer than 1 s",),
         task_files={"task.yaml": HASTY, "eval/grader.py": GRADER.format("time.sleep(60)")}),
    Case("catches everything and takes too long", "coral_legacy", TIMEOUT, ("longer than 1 s",),
         task_files={"task.yaml": HASTY, "eval/grader.py": GRADER.format(
             "try: time.sleep(60)\n        except: return 5.0")}),
    Case("the script takes too long", "coral_legacy", TIMEOUT, ("timed out after 1 seconds",),
         task_files={"eval/grader.py": ("timeout=self.timeout", "timeout=1")},
         files={"program.py": SLEEPS}),
    Case("the program takes too long", "coral_packaged", TIMEOUT, ("the grader",),
         task_files={"task.yaml": HASTY}, files={"solve.py": SLEEPS}),
    Case("the program fails", "coral_packaged", INVALID, ("exit code 1", "ValueError: no x"),
         files={"solve.py": "raise ValueError('no x')\n"}),
    Case("the program ends as it likes", "coral_packaged", SCORED, score=2.0,
         files={"solve.py": "import helper\nhelper.main()\n", "helper.py":
                "import sys\ndef main():\n    print('{\"x\": 4.0}')\n    sys.exit(0)\n"}),
    Case("no program", "coral_packaged", FAILED, ("solve.py is not in the submission",),
         files={"solve.py": None, "other.py": "x = 1\n"}),
)  # fmt: skip

COMMAND = (
    Case("no match", "command_style", FAILED, ("nothing in what the command printed matches",),
         files={"train.py": "print('no loss')\n"}),
    Case("no number", "command_style", FAILED, ("'-e-' in what the command printed is not",),
         files={"train.py": "print('loss: -e-')\n"}),
    Case("exit code", "command_style", FAILED, ("exit code 3", "went wrong"),
         files={"train.py": "print('went wrong')\nprint('loss: 1')\nraise SystemExit(3)\n"}),
    Case("a signal", "command_style", FAILED, ("killed by signal 9",),
         files={"train.py": "import os\nprint('loss: 1', flush=True)\nos.kill(os.getpid(), 9)\n"}),
    Case("takes too long", "command_style", TIMEOUT, ("timeout",),
         task_files={"task.yaml": ("timeout_s: 20", "timeout_s: 2")}, files={"train.py": SLEEPS}),
    Case("other metrics are missing", "command_style", SCORED, ("steps: summary.json was not",),
         score=1.5, files={"train.py": "print('loss: 1.5')\nprint('{\"rate\": 1}')\n"},
         metrics={"rate": 1.0}),
    Case("other metrics are no numbers", "command_style", SCORED, ("rate: 'x'",), score=1.5,
         files={"train.py": "print('loss: 1.5')\nprint('{\"rate\": \"x\"}')\n"}),
    Case("a pattern that never ends", "command_style", TIMEOUT, ("timeout",),
         task_files={"task.yaml": ("timeout_s: 20\n  metric: {regex: \"^loss: ([-+.\\\\deE]+)$\"}",
                                   "timeout_s: 3\n  metric: {regex: '^(?:a+)+ (\\d)$'}")},
         files={"train.py": "print('a' * 60)\n"}),
    Case("metric in a file that is not written", "command_style", FAILED, ("out.txt was not",),
         task_files={"task.yaml": ("metric: {", "metric: {file: out.txt, ")},
         files={"train.py": "print('loss: 1')\n"}),
    Case("metric in a file that is a link", "command_style", FAILED, ("out.txt was not",),
         task_files={"task.yaml": ("metric: {", "metric: {file: out.txt, ")},
         files={"train.py": "import os\nos.symlink('/etc/passwd', 'out.txt')\n"}),
    Case("metric in a file", "command_style", SCORED, score=2.5,
         task_files={"task.yaml": ("metric: {", "metric: {file: out.txt, ")},
         files={"train.py": "open('out.txt', 'w').write('loss: 3\\nloss: 2.5\\n')\n"}),
)  # fmt: skip

JSON = ('metric: {regex: "^loss: ([-+.\\\\deE]+)$"}', "metric: {json: results.1.loss}")

COMMAND_JSON = (
    Case("whole JSON", "command_style", SCORED, score=2.0, task_files={"task.yaml": JSON},
         files={"train.py": "print('{\"results\": [0, {\"loss\":\\n 2}]}')\n"}),
    Case("last line of JSON", "command_style", SCORED, score=2.0, task_files={"task.yaml": JSON},
         files={"train.py": "print('{\"results\": 1}\\n{\"results\": [0, {\"loss\": 2}]}\\n[')"}),
    Case("no JSON", "command_style", FAILED, ("no JSON document",), task_files={"task.yaml": JSON},
         files={"train.py": "print('nothing')\n"}),
    Case("no such key", "command_style", FAILED, ("no 'results.1.loss'",),
         task_files={"task.yaml": JSON}, files={"train.py": "print('{\"results\": [1]}')\n"}),
    Case("true is no number", "command_style", FAILED, ("True", "is not a number"),
         task_files={"task.yaml": JSON},
         files={"train.py": "print('{\"results\": [0, {\"loss\": true}]}')\n"}),
    Case("NaN", "command_style", INVALID, ("the metric is nan",), task_files={"task.yaml": JSON},
         files={"train.py": "print('{\"results\": [0, {\"loss\": NaN}]}')\n"}),
)  # fmt: skip

ENDS: tuple[Case, ...] = (
    *OPENEVOLVE, *CASCADE, *SHINKAEVOLVE, *CORAL, *COMMAND, *COMMAND_JSON
)  # fmt: skip
