"""Candidates that make a result up without touching the evaluator's memory: none is believed."""

from tests.foreign.example import Case

from harness.attempt import Status

WRITES_RESULTS = """
import json, os, sys
from pathlib import Path
folder = Path(sys.argv[sys.argv.index("--results_dir") + 1])
(folder / "metrics.json").write_text(json.dumps({"combined_score": 99.0}))
(folder / "correct.json").write_text(json.dumps({"correct": True, "error": None}))
"""
"""What ShinkaEvolve itself would take for the evaluator's."""

PRINTS_VALUES = 'import atexit, os, sys\nTEXT = \'{"values": [2.0, 4.0], "x": 3.0}\'\n'
"""The best answer to both CORAL examples, in their graders' own words."""
PARABOLA = 'import os\nprint(\'{"combined_score": 99.0, "score": 99.0}\', flush=True)\n'

NOT_ITS_END = ("before it came to its end",)

FORGERIES: tuple[Case, ...] = (
    Case("exits", "openevolve_plain", Status.FAILED, ("before it returned",),
         files={"initial_program.py": PARABOLA + "os._exit(0)\n"}),
    Case("sys.exit", "openevolve_plain", Status.FAILED, ("SystemExit",),
         files={"initial_program.py": PARABOLA + "raise SystemExit(0)\n"}),
    Case("exits", "openevolve_cascade", Status.FAILED, ("before it returned",),
         files={"initial_program.py": PARABOLA + "os._exit(0)\n"}),
    Case("exits", "openevolve_async", Status.FAILED, ("before it returned",),
         files={"initial_program.py": PARABOLA + "os._exit(0)\n"}),
    Case("prints and exits", "coral_legacy", Status.FAILED, NOT_ITS_END,
         files={"program.py": PRINTS_VALUES + "print(TEXT, flush=True)\nos._exit(0)\n"}),
    Case("prints and exits with a code", "coral_legacy", Status.FAILED, NOT_ITS_END,
         files={"program.py": PRINTS_VALUES + "print(TEXT, flush=True)\nos._exit(3)\n"}),
    Case("prints and is killed", "coral_legacy", Status.FAILED, NOT_ITS_END,
         files={"program.py": PRINTS_VALUES + "print(TEXT, flush=True)\nos.kill(os.getpid(), 9)"}),
    Case("prints and calls sys.exit", "coral_legacy", Status.FAILED, ("called sys.exit",),
         files={"program.py": PRINTS_VALUES + "print(TEXT)\nsys.exit(0)\n"}),
    Case("has the last word", "coral_legacy", Status.SCORED, score=7.0,
         files={"program.py": PRINTS_VALUES + "atexit.register(print, TEXT, flush=True)\n"
                "def values(): return [1.0, 2.0]\n"}),
    Case("patches nothing and writes every descriptor", "coral_legacy", Status.FAILED, (),
         files={"program.py": PRINTS_VALUES + "for fd in range(3, 64):\n"
                "    try: os.write(fd, TEXT.encode())\n    except OSError: pass\nos._exit(0)\n"}),
    Case("writes the results and exits", "shinka_helper", Status.FAILED, NOT_ITS_END,
         files={"initial.py": WRITES_RESULTS + "os._exit(0)\n"}),
    Case("writes the results and exits", "shinka_plain", Status.FAILED, NOT_ITS_END,
         files={"initial.py": WRITES_RESULTS + "os._exit(0)\n"}),
    Case("writes the results and exits with a code", "shinka_plain", Status.FAILED, NOT_ITS_END,
         files={"initial.py": WRITES_RESULTS + "os._exit(3)\n"}),
    Case("writes the results and is killed", "shinka_plain", Status.FAILED, NOT_ITS_END,
         files={"initial.py": WRITES_RESULTS + "os.kill(os.getpid(), 9)\n"}),
    Case("writes the results and raises", "shinka_plain", Status.FAILED, ("my own end",),
         files={"initial.py": WRITES_RESULTS + "raise ValueError('my own end')\n"}),
    Case("writes the results and calls sys.exit", "shinka_helper", Status.FAILED, NOT_ITS_END,
         files={"initial.py": WRITES_RESULTS + "sys.exit(0)\n"}),
    Case("writes the results at the very end", "shinka_helper", Status.SCORED, score=0.0,
         files={"initial.py": "import atexit\ndef forge():\n"
                + WRITES_RESULTS.replace("\n", "\n    ") + "\natexit.register(forge)\n"
                "def run_experiment(seed): return [0.0], 0.0\n"}),
)  # fmt: skip
