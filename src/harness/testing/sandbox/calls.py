"""Checks of the system calls that commands have."""

import json
import platform
from collections.abc import Callable

from harness.sandbox.base import Guarantee, Sandbox
from harness.sandbox.seccomp import DENIED, MACHINES, MISSING, table
from harness.testing.sandbox.fixtures import SandboxFixtures, python

Requires = Callable[[Guarantee], None]

# Arguments that no call can do anything with; what counts is how it is refused.
TRY_CALLS = """
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for name, number in json.loads(sys.argv[1]).items():
    ctypes.set_errno(0)
    answer = libc.syscall(number, *[ctypes.c_long(-1)] * 6)
    found[name] = errno.errorcode.get(ctypes.get_errno(), "0") if answer == -1 else "done"
print(json.dumps(found))
"""

CLONE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
number, flag = map(int, sys.argv[1:])
answer = libc.syscall(number, ctypes.c_long(flag | 17), *[ctypes.c_long(0)] * 4)
if answer == 0:
    os._exit(0)
print(answer > 0)
"""

SOCKETS = """
import socket
for family in (38, 40, 17, 31):
    try:
        socket.socket(family, socket.SOCK_SEQPACKET)
        print("made", family)
    except OSError:
        pass
for family in (socket.AF_UNIX, socket.AF_INET):
    socket.socket(family, socket.SOCK_STREAM).close()
a, b = socket.socketpair()
a.send(b"works")
print(b.recv(9).decode())
"""

ORDINARY = """
import asyncio, ctypes, mmap, multiprocessing, os, signal, subprocess, tempfile, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import shared_memory

def square(x):
    return x * x

async def main():
    ran = await asyncio.create_subprocess_exec("true")
    return await ran.wait()

if __name__ == "__main__":
    with ThreadPoolExecutor(4) as pool, ProcessPoolExecutor(2) as processes:
        assert list(pool.map(square, range(9))) == list(processes.map(square, range(9)))
    block = shared_memory.SharedMemory(create=True, size=4096)
    block.buf[0] = 7
    block.close()
    block.unlink()
    assert asyncio.run(main()) == 0
    assert subprocess.run(["sh", "-c", "echo hi | cat"], capture_output=True).stdout == b"hi\\n"
    assert os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1] == 0
    assert len(mmap.mmap(-1, 4096)) == 4096
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 20)
        os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    multiprocessing.get_context("spawn").Process(target=print, args=("spawned",)).run()
    print("works")
"""


class CallsChecks(SandboxFixtures):
    # -- system calls --

    async def test_dangerous_calls_are_refused(self, sandbox: Sandbox, requires: Requires) -> None:
        requires(Guarantee.SYSTEM_CALLS)
        column = MACHINES[platform.machine()][1] - 1
        names = [*MISSING, *(name for group in DENIED.values() for name in group)]
        numbers = {name: number for name in names if (number := table()[name][column]) is not None}
        result = await python(sandbox, TRY_CALLS, json.dumps(numbers))
        assert result.ok, result.text()
        found = json.loads(result.stdout)
        assert found.keys() == numbers.keys()
        refused = {name for name, how in found.items() if how in ("EPERM", "ENOSYS")}
        assert refused == set(found)
        assert found["clone3"] == "ENOSYS"

    async def test_no_namespace_is_made(self, sandbox: Sandbox, requires: Requires) -> None:
        requires(Guarantee.SYSTEM_CALLS)
        number = str(table()["clone"][MACHINES[platform.machine()][1] - 1])
        # The plain call works, so what refuses the other is the flag.
        assert (await python(sandbox, CLONE, number, "0")).stdout == b"True\n"
        for flag in (0x10000000, 0x40000000, 0x20000000, 0x00020000):
            result = await python(sandbox, CLONE, number, str(flag))
            assert result.stdout == b"False\n", hex(flag)

    async def test_rare_sockets_are_refused(self, sandbox: Sandbox, requires: Requires) -> None:
        requires(Guarantee.SYSTEM_CALLS)
        result = await python(sandbox, SOCKETS)
        assert result.stdout == b"works\n", result.text()

    async def test_ordinary_programs_work(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("ordinary.py", ORDINARY.encode())
        result = await sandbox.exec(["python3", "ordinary.py"], timeout_s=60)
        assert result.ok, result.text()
        assert result.stdout.endswith(b"works\n")
