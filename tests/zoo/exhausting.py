"""Attacks on what is shared: processes, memory, disk, output, time."""

from tests.zoo.attack import Attack

ENDLESS = "\nimport time\ntime.sleep(60)\n"

EXHAUSTING = (
    Attack(
        "fork_bomb",
        "forks for ever",
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n",
        ("pids", "timeout", "out_of_memory"),
    ),
    Attack(
        "fork_bomb_in_sessions",
        "forks for ever, each child in a session of its own",
        "import os\nwhile True:\n    try:\n        if os.fork() == 0:\n            os.setsid()\n"
        "    except OSError:\n        pass\n",
        ("pids", "timeout", "out_of_memory"),
    ),
    Attack(
        "threads",
        "starts a thousand threads",
        "import threading, time\nfor _ in range(1000):\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n" + ENDLESS,
        ("pids", "failed", "out_of_memory"),
    ),
    Attack(
        "memory_bomb",
        "takes memory until there is none",
        "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * (8 << 20))\n",
        ("out_of_memory", "failed"),
    ),
    Attack(
        "memory_bomb_in_a_child",
        "has a child take the memory, and ends well itself",
        "import honest, subprocess, sys\nhonest.write()\n"
        "bomb = 'k=[]\\nwhile 1: k.append(bytearray(b\"x\")*(8<<20))'\n"
        "subprocess.run([sys.executable, '-c', bomb])\n",
        ("out_of_memory", "scored"),
    ),
    Attack(
        "shared_memory_filled",
        "fills /dev/shm",
        "block = b'x' * (1 << 20)\nwith open('/dev/shm/fill', 'wb') as file:\n"
        "    for _ in range(2000):\n        file.write(block)\n",
        ("failed", "disk", "out_of_memory"),
    ),
    Attack(
        "temporary_folder_filled",
        "fills /tmp",
        "block = b'x' * (1 << 20)\nfor n in range(40):\n    with open(f'/tmp/fill{n}', 'wb') as file:\n"
        "        for _ in range(100):\n            file.write(block)\n",
        ("failed", "disk", "out_of_memory"),
    ),
    Attack(
        "disk_filled",
        "fills its working folder",
        "block = b'x' * (1 << 20)\nfor n in range(100):\n    with open(f'fill{n}', 'wb') as file:\n"
        "        for _ in range(100):\n            file.write(block)\n",
        ("failed", "disk", "timeout"),
    ),
    Attack(
        "inodes_filled",
        "makes files without end",
        "n = 0\nwhile True:\n    open(f'f{n}', 'w').close()\n    n += 1\n",
        ("disk", "failed", "timeout"),
    ),
    Attack(
        "endless_output",
        "prints for ever",
        "import os\nblock = b'x' * 65536\nwhile True:\n    os.write(1, block)\n",
        ("output_limit",),
    ),
    Attack(
        "endless_errors",
        "prints errors for ever",
        "import os\nblock = b'y' * 65536\nwhile True:\n    os.write(2, block)\n",
        ("output_limit",),
    ),
    Attack(
        "sleeps_and_ignores",
        "sleeps for ever and ignores every signal that can be ignored",
        "import signal\nfor number in range(1, 65):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\nwhile True:\n    signal.pause()\n",
        ("timeout",),
    ),
    Attack(
        "busy_for_ever",
        "computes for ever on as many processes as it may have",
        "import os\nfor _ in range(8):\n    if os.fork() == 0:\n        break\nwhile True:\n    pass\n",
        ("timeout",),
    ),
    Attack(
        "daemon_mines_on",
        "ends well and leaves a process in a session of its own that computes on",
        "import honest, os\nhonest.write()\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        while True:\n            pass\n    os._exit(0)\n",
    ),
    Attack(
        "stopped_child",
        "leaves a stopped child behind",
        "import honest, os, signal\nhonest.write()\npid = os.fork()\nif pid == 0:\n"
        "    os.setsid()\n    os.kill(os.getpid(), signal.SIGSTOP)\n",
    ),
    Attack(
        "zombies",
        "leaves thirty children that nobody waits for",
        "import honest, os\nhonest.write()\nfor _ in range(30):\n    if os.fork() == 0:\n"
        "        os._exit(0)\n",
    ),
    Attack(
        "descriptors",
        "opens files until none can be opened",
        "import honest\nhonest.write()\nkept = []\ntry:\n    while True:\n"
        "        kept.append(open('/dev/null'))\nexcept OSError:\n    pass\n",
    ),
    Attack(
        "core_dumps",
        "dies with 100 MB in memory, for a core dump of that size",
        "import os, signal\nkept = bytearray(100 << 20)\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        ("failed",),
    ),
    Attack(
        "limits_raised",
        "raises its own limits and those of the kernel's out-of-memory killer",
        "import honest, resource\n"
        "for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):\n"
        "    hard = resource.getrlimit(kind)[1]\n    try:\n"
        "        resource.setrlimit(kind, (hard + 1 if hard >= 0 else hard, hard + 1))\n"
        "        honest.succeeded(str(kind))\n    except (OSError, ValueError, OverflowError):\n        pass\n"
        "import os\n"
        "try:\n    os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000')\n"
        "    honest.succeeded('oom')\nexcept OSError:\n    pass\nhonest.write()\n",
    ),
    Attack(
        "nested_harness",
        "starts the harness inside the sandbox, to get another budget",
        "import honest, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'harness.cli.main', 'launch', 'circle_packing',"
        " '--evals', '2'], capture_output=True)\n"
        "if done.returncode == 0:\n    honest.succeeded('nested launch')\nhonest.write()\n",
        ("scored", "timeout"),
    ),
    Attack(
        "compile_bomb",
        "gives the compiler a program that asks for gigabytes",
        "import honest, shutil, subprocess\nhonest.write()\n"
        "open('bomb.c', 'w').write('int a[1<<28]={1};int main(){}')\n"
        "if shutil.which('gcc'):\n    subprocess.run(['gcc', 'bomb.c', '-o', 'bomb'])\n",
        ("scored", "disk", "out_of_memory", "timeout", "failed"),
    ),
)
