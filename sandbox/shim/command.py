# ruff: noqa: PTH103, PTH112, PTH120, PTH123, PTH211 - importing pathlib costs milliseconds
"""The shim's child: from a fork of the supervisor to the command in its surroundings."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from harness.sandbox.shim.request import Request, View

SIGKILL, SIGPIPE, SIGCONT, SIGSTOP, SIGXFSZ = 9, 13, 18, 19, 25
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x8000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND = 1, 2, 4, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18
SYS_MOUNT_SETATTR = 442  # the same on every architecture
AT_RECURSIVE, MOUNT_ATTR_RDONLY = 0x8000, 1
# Far above the few descriptors of this process, so that none is overwritten.
OPTIONS_FD, STATUS_FD, FILTER_FD = 100, 101, 102
MIB = 1024 * 1024

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library that answers -1 on failure."""
    if getattr(libc, name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def bind(source: str, target: str, read_only: bool) -> None:
    if os.path.isdir(source):
        os.makedirs(target, mode=0o755, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    where = os.fsencode(target)
    call("mount", os.fsencode(source), where, None, ctypes.c_ulong(MS_BIND | MS_REC), None)
    if not read_only:
        return
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    try:
        call("syscall", SYS_MOUNT_SETATTR, -100, where, AT_RECURSIVE, attributes, size)
    except OSError:
        # Before Linux 5.12: the mount itself, without what is mounted below it.
        flags = ctypes.c_ulong(MS_BIND | MS_REMOUNT | MS_RDONLY)
        call("mount", None, where, None, flags, None)


def raise_loopback() -> None:
    """Bring up `lo` in a new network namespace: programs talk to themselves over it."""
    af_inet, sock_dgram, siocsifflags, iff_up = 2, 2, 0x8914, 1
    fd = libc.socket(af_inet, sock_dgram, 0)
    request = b"lo".ljust(16, b"\0") + iff_up.to_bytes(2, sys.byteorder) + bytes(22)
    libc.ioctl(fd, ctypes.c_ulong(siocsifflags), ctypes.create_string_buffer(request, 40))
    os.close(fd)


def enter_view(view: View) -> None:
    """Replace the root file system by one that has only what the command may see."""
    call("unshare", CLONE_NEWNS | CLONE_NEWIPC | (0 if view["network"] else CLONE_NEWNET))
    if not view["network"]:
        raise_loopback()
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    root = view["root"]
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    call("mount", b"tmpfs", os.fsencode(root), b"tmpfs", flags, b"mode=755,size=1m")
    for target, destination in view["links"]:
        os.symlink(destination, root + target)
    for source, target, options in view["mounts"]:
        where = root + target
        # Another command of the sandbox may put a link there, where folders lie in each other.
        if os.path.realpath(where) != where:
            raise OSError(f"a link lies on the way to {target}")
        if source is not None:
            bind(source, where, options == "ro")
            continue
        os.makedirs(where, mode=0o755, exist_ok=True)
        call("mount", b"tmpfs", os.fsencode(where), b"tmpfs", flags, options.encode())
    os.chroot(root)


def set_limits(request: Request) -> None:
    # Memory of all processes is watched; this bounds what one can take between two looks.
    data = 2 * request["memory_bytes"] + 1024 * MIB
    # The kernel counts all tasks of the uid, those of other sandboxes too, so the bound is what
    # runs on the machine now and twice what may come; the supervisor counts exactly.
    with open("/proc/loadavg", encoding="ascii") as file:
        tasks = int(file.read().split()[3].split("/")[1]) + 2 * request["pids"]
    for kind, wanted in (
        (resource.RLIMIT_DATA, data),
        (resource.RLIMIT_NPROC, tasks),
        (resource.RLIMIT_FSIZE, request["file_bytes"]),
        (resource.RLIMIT_NOFILE, 4096),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (bound, bound))


def filter_calls(program: bytes) -> None:
    """Have the kernel refuse system calls, of this process and all that come from it."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    whole = Program(len(program) // 8, program)
    call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0)


def become(request: Request, supervisor: int) -> NoReturn:
    os.setsid()
    os.umask(0o022)
    set_limits(request)
    if (view := request["view"]) is not None:
        enter_view(view)
    if (uid := request["uid"]) is not None and (gid := request["gid"]) is not None:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # After the change of uid, which would clear it.
    call("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(1)
    # Python ignores these two, and what is ignored stays so in the command.
    libc.signal(SIGPIPE, None)
    libc.signal(SIGXFSZ, None)
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        refuse(126, request["cwd"], error)
    if request["filter"] and not request["options"]:
        filter_calls(request["filter"])
    execute(request["argv"], request["env"])


def execute(argv: list[str], env: dict[str, str]) -> NoReturn:
    """Replace this process; as a shell does, 127 for an unknown program and 126 for no program."""
    try:
        os.execvpe(argv[0], argv, env)
    except (OSError, ValueError) as error:
        refuse(127 if isinstance(error, FileNotFoundError) else 126, argv[0], error)


def refuse(code: int, name: str, error: Exception) -> NoReturn:
    os.write(2, f"{name!a}: {getattr(error, 'strerror', error)}\n".encode())
    os._exit(code)


def hand_over(options: list[str], program: bytes, report: int) -> None:
    """Give a wrapping program its options, the filter, and the pipe to report on."""
    if program:
        options = ["--seccomp", str(FILTER_FD), *options]
        os.dup2(memory_file(program), FILTER_FD)
    os.dup2(memory_file(b"".join(os.fsencode(option) + b"\0" for option in options)), OPTIONS_FD)
    os.dup2(report, STATUS_FD)


def memory_file(data: bytes) -> int:
    source = os.memfd_create("shim")
    with open(source, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(source, 0, os.SEEK_SET)
    return source


def start(request: Request) -> tuple[int, int]:
    """Start the command; its process id, and the end of the pipe that it reports on.

    Raises:
        RuntimeError: When its surroundings could not be prepared.
    """
    failure, failed = os.pipe()
    status, report = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            if request["options"]:
                hand_over(request["options"], request["filter"], report)
            become(request, supervisor)
        except BaseException as error:  # told to the supervisor, whatever it is
            os.write(failed, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
    os.close(failed)
    os.close(report)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    message = os.read(failure, 4096).decode("utf-8", "replace")
    os.close(failure)
    if message:
        os.waitpid(pid, 0)
        raise RuntimeError(message)
    return pid, status
