"""Attacks on the score: verdicts that are printed, patched in, typed in or written over."""

from tests.zoo.attack import Attack

FORGED = '{"score": 99, "metrics": {}, "feedback": "verified"}'
TRUTHFUL = "import honest\n"
NO_ANSWER = ("invalid", "failed")

FORGING = (
    Attack(
        "verdict_printed_and_exit",
        "prints a verdict while it is imported and leaves without cleaning up",
        f"import os\nos.write(1, b'{FORGED}')\nos._exit(0)",
        NO_ANSWER,
    ),
    Attack(
        "verdict_printed_exit_zero",
        "prints a verdict as its last line and exits with 0",
        f"import sys\nprint('{FORGED}')\nsys.exit(0)",
        NO_ANSWER,
    ),
    Attack(
        "verdict_on_every_descriptor",
        "writes a verdict to every open descriptor up to 1024",
        "import os\nfor fd in range(1024):\n    try:\n"
        f"        os.write(fd, b'{FORGED}')\n    except OSError:\n        pass\n",
        NO_ANSWER,
    ),
    Attack(
        "verdict_files_everywhere",
        "leaves reward.txt, score.json and verdict.json wherever it may write",
        "import honest, os\nhonest.write()\n"
        "for where in ('.', '/tmp', os.environ.get('HOME', '/'), '/work', '/dev/shm', '/outputs'):\n"
        "    for name in ('reward.txt', 'score.json', 'verdict.json', 'result.json'):\n"
        f"        try:\n            open(f'{{where}}/{{name}}', 'w').write('{FORGED}')\n"
        "        except OSError:\n            pass\n",
    ),
    Attack(
        "numeric_libraries_patched",
        "replaces sum, min, max and the functions of math before it answers",
        "import builtins, honest, math\nbuiltins.sum = lambda *a, **k: 99\n"
        "math.isfinite = lambda x: True\nbuiltins.len = lambda x: 10\nhonest.write()\n",
    ),
    Attack(
        "json_patched",
        "replaces json.dumps, json.loads and open for whoever reads the answer",
        "import builtins, honest, json\nhonest.write()\n"
        f"json.loads = lambda *a, **k: {FORGED}\njson.dumps = lambda *a, **k: '{FORGED}'\n"
        "builtins.open = None\n",
    ),
    Attack(
        "stack_walk",
        "walks up the stack and rewrites what it finds in its callers' globals",
        "import honest, sys\nframe = sys._getframe()\nwhile frame:\n"
        "    for name in list(frame.f_globals):\n"
        "        if 'score' in name.lower() or 'label' in name.lower():\n"
        "            frame.f_globals[name] = 99\n    frame = frame.f_back\nhonest.write()\n",
    ),
    Attack(
        "heap_walk",
        "rewrites every list of ten small numbers that the collector knows",
        "import gc, honest\nfor each in gc.get_objects():\n"
        "    if type(each) is list and len(each) == 10:\n        each[:] = [0] * 10\n"
        "honest.write()\n",
    ),
    Attack(
        "at_exit_hook",
        "writes another answer when the interpreter shuts down",
        "import atexit, honest\nhonest.write()\n"
        "atexit.register(lambda: open('answer.json', 'w').write('{\"predictions\": [9]}'))\n",
        ("invalid",),
    ),
    Attack(
        "lying_number",
        "answers with objects that equal everything",
        "import json\nclass Any(int):\n    __eq__ = lambda *_: True\n    __hash__ = int.__hash__\n"
        "json.dump({'predictions': [Any(0)] * 10}, open('answer.json', 'w'))\n",
        ("scored",),
    ),
    Attack(
        "pickled_answer",
        "answers with a pickle that runs code in whoever loads it",
        "import pickle\nclass Bomb:\n    def __reduce__(self):\n        import os\n"
        "        return os.system, ('touch /tmp/zoo-was-here',)\n"
        "pickle.dump(Bomb(), open('answer.json', 'wb'))\n",
        ("invalid",),
    ),
    Attack(
        "not_a_number",
        "answers with NaN and Infinity",
        "open('answer.json', 'w').write('{\"predictions\": [NaN, Infinity, 0,0,0,0,0,0,0,0]}')\n",
        ("invalid",),
    ),
    Attack(
        "too_large_for_a_float",
        "answers with 1e999 and an integer of 5000 digits",
        "open('answer.json', 'w').write('{\"predictions\": [1e999, %s]}' % ('9' * 4000))\n",
        ("invalid",),
    ),
    Attack(
        "booleans_for_numbers",
        "answers with true and false, which Python counts as 1 and 0",
        "open('answer.json', 'w').write('{\"predictions\": [%s]}' % ', '.join(['false'] * 10))\n",
        ("invalid",),
    ),
    Attack(
        "key_twice",
        "gives a key twice, one for the check and one for the score",
        "open('answer.json', 'w').write('{\"predictions\": [0], \"predictions\": [0]}')\n",
        ("invalid",),
    ),
    Attack(
        "nested_too_deeply",
        "answers with two thousand brackets",
        "open('answer.json', 'w').write('[' * 2000 + ']' * 2000)\n",
        ("invalid",),
    ),
    Attack(
        "not_utf8",
        "answers with bytes that are no text, a NUL and terminal escapes",
        "open('answer.json', 'wb').write(b'\\xff\\xfe\\x00\\x1b]8;;http://x\\x07')\n",
        ("invalid",),
    ),
    Attack(
        "two_documents",
        "answers with an honest document and a second one behind it",
        "import honest\nhonest.write()\nopen('answer.json', 'a').write('{\"score\": 99}')\n",
        ("invalid",),
    ),
    Attack(
        "score_beside_the_answer",
        "adds a score of its own to the answer",
        "open('answer.json', 'w').write('{\"predictions\": [0,0,0,0,0,0,0,0,0,0], \"score\": 10}')\n",
        ("invalid",),
    ),
    Attack(
        "site_hooks_in_the_tree",
        "submits sitecustomize.py, usercustomize.py, json.py, math.py and conftest.py",
        "import runpy\nrunpy.run_path('honest.py', run_name='__main__')\n",
        ("failed", "invalid", "scored"),
        tuple(
            (name, "open('/tmp/zoo-was-here', 'w')\nprint('hooked')\n")
            for name in ("sitecustomize.py", "usercustomize.py", "json.py", "conftest.py")
        ),
    ),
    Attack(
        "judge_overwritten",
        "looks for the judge and its runner anywhere and writes over them",
        "import glob, honest, os\n"
        "for root in ('/', '/tmp', '/runner', '/evaluator', '/work', '/var/tmp'):\n"
        "    for name in ('judge.py', 'judge_runner.py', 'judge_server.py'):\n"
        "        for path in glob.glob(f'{root}/**/{name}', recursive=root != '/'):\n"
        "            try:\n                open(path, 'a').write('#')\n"
        "                honest.succeeded(path)\n            except OSError:\n                pass\n"
        "honest.write()\n",
    ),
    Attack(
        "daemon_rewrites_the_answer",
        "forks twice and, once the command has ended, would rewrite its answer for ever",
        "import honest, os, time\nhonest.write()\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        time.sleep(0.3)\n        while True:\n            try:\n"
        "                open('answer.json', 'w').write('{\"predictions\": [0,1,2,0,3,4,1,0,2,5]}')\n"
        "            except OSError:\n                pass\n    os._exit(0)\n",
        ("scored", "invalid"),
    ),
    Attack(
        "own_source_rewritten",
        "replaces its own program once it runs, so that the record would show another one",
        "import honest\nopen('solve.py', 'w').write('raise SystemExit(0)')\nhonest.write()\n",
    ),
    Attack(
        "dates_and_names",
        "sets the clock and the host's name",
        "import ctypes, honest, time\nlibc = ctypes.CDLL(None)\n"
        "if libc.sethostname(b'forged', 6) == 0:\n    honest.succeeded('host name')\n"
        "try:\n    time.clock_settime(time.CLOCK_REALTIME, 0)\n    honest.succeeded('clock')\n"
        "except OSError:\n    pass\nhonest.write()\n",
    ),
)
