"""Hostile and unlucky programs that the sandbox contract runs: source for `python3 -c`."""

IGNORE_TERM = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]])
print("started", flush=True)
while True:
    time.sleep(1)
"""

# argv: marker, "stay" or "leave". One child in its own session, one daemon by double fork.
DAEMON = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]]
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.Popen(sleep, start_new_session=True, **quiet)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execv(sleep[0], sleep)
    os._exit(0)
os.wait()
print("started", flush=True)
if sys.argv[2] == "stay":
    time.sleep(600)
"""

HOLD_STDOUT = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]])
print("done", flush=True)
os._exit(3)
"""

FLOOD = """
import os
block = b"x" * 65536
while True:
    os.write(1, block)
"""

GROW_MEMORY = """
kept = []
while True:
    kept.append(b"x" * (4 << 20))
"""

# The child is the one that grows; the parent hides its end.
GROW_MEMORY_IN_CHILD = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {GROW_MEMORY!r}])
"""

FORK_CHILDREN = """
import os, sys, time
for number in range(500):
    if os.fork() == 0:
        if number % 2:
            os.setsid()
        time.sleep(600)
        os._exit(0)
print("forked all 500", flush=True)
time.sleep(600)
"""

# Small steps with pauses, so that a provider that watches has its chance to see.
FILL_DISK = """
import os, sys, time
for number in range(200):
    with open(os.path.join(sys.argv[1], f"fill-{number}"), "wb") as file:
        file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    time.sleep(0.01)
"""

FILL_INODES = """
import time
for number in range(20_000):
    open(f"file-{number}", "w").close()
    if number % 50 == 0:
        time.sleep(0.01)
"""

GROW_FILE = """
with open("big", "wb") as file:
    for _ in range(64):
        file.write(b"x" * (1 << 20))
        file.flush()
"""

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except OSError as error:
    print("refused", type(error).__name__)
else:
    print("connected")
"""
