"""System calls that sandboxes refuse: those that kernels had holes in and programs do without.

One list, in two forms: a profile for Docker and a filter program for the kernel (bubblewrap, plain
processes). What is refused beyond the calls that a process without privileges cannot use anyway:
io_uring, user namespaces, BPF, keyrings, performance counters, page faults handled by programs, and
rare families of sockets. Calls that are newer than the table do not exist, so that programs fall
back to older ones.

Sources: seccomp(2), capabilities(7), the kernel's tables of system calls (`syscalls.tsv`).
"""

import errno
import json
import platform
import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().with_name("syscalls.tsv")
DENIED: dict[str, tuple[str, ...]] = {
    "namespaces": ("unshare", "setns"),
    "mounts": (
        "mount", "umount2", "pivot_root", "move_mount", "open_tree", "open_tree_attr", "fsopen",
        "fsconfig", "fsmount", "fspick", "mount_setattr", "statmount", "listmount",
    ),
    "kernel": (
        "init_module", "finit_module", "delete_module", "create_module", "query_module",
        "get_kernel_syms", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "syslog",
        "acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname", "iopl", "ioperm",
        "vhangup", "nfsservctl", "lookup_dcookie", "uselib", "ustat", "sysfs", "_sysctl",
        "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "lsm_set_self_attr",
    ),
    "tracing": ("bpf", "perf_event_open", "userfaultfd", "kcmp", "fanotify_init", "fanotify_mark"),
    "keys": ("add_key", "request_key", "keyctl"),
    "io_uring": ("io_uring_setup", "io_uring_enter", "io_uring_register"),
    "handles": ("name_to_handle_at", "open_by_handle_at"),
    "pages of others": ("move_pages", "migrate_pages"),
}  # fmt: skip
"""By what they are for. They fail with EPERM."""
MISSING = ("clone3",)
"""They fail with ENOSYS: its arguments lie in memory where no filter looks, and programs use
`clone` then."""
NEW_NAMESPACES = 0x7E020000
"""Flags of `clone` that make a namespace of any kind."""
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux and its 32-bit variants, and the question which one it is."""
SOCKETS = (0, 1, 2, 10, 16)
"""Unspecified, Unix, IPv4, IPv6, netlink."""
TERMINAL_REQUESTS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX put characters into a terminal's input. The filter program alone refuses
them: the profile cannot compare half an argument, and containers have no terminal."""

EPERM, ENOSYS, EAFNOSUPPORT = errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT
X32_BIT = 0x40000000
MACHINES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}
"""AUDIT_ARCH of a machine, and the column of the table."""

# linux/filter.h and linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16


@cache
def table() -> dict[str, tuple[int | None, int | None]]:
    """Number of each system call on x86_64 and on aarch64; None where it does not exist."""
    lines = [line.split() for line in TABLE.read_text("ascii").splitlines() if line[0] != "#"]
    return {
        name: (None if x86 == "-" else int(x86), None if arm == "-" else int(arm))
        for name, x86, arm in lines
    }


def denied() -> frozenset[str]:
    """Every call that is refused whatever its arguments are."""
    return frozenset(name for group in DENIED.values() for name in group)


@cache
def docker_profile() -> str:
    """The profile as Docker's `security_opt` takes it: JSON, an allow-list."""
    conditional = {"clone", "personality", "socket"}
    allowed = set(table()) - denied() - conditional - set(MISSING)
    rules: list[dict[str, Any]] = [
        _rule(sorted(allowed), "SCMP_ACT_ALLOW"),
        _rule(sorted(denied()), "SCMP_ACT_ERRNO", errno=EPERM),
        _rule(sorted(MISSING), "SCMP_ACT_ERRNO", errno=ENOSYS),
        _rule(["clone"], "SCMP_ACT_ALLOW", (0, NEW_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ")),
    ]
    rules += [
        _rule(["personality"], "SCMP_ACT_ALLOW", (0, p, 0, "SCMP_CMP_EQ")) for p in PERSONALITIES
    ]
    rules += [_rule(["socket"], "SCMP_ACT_ALLOW", (0, s, 0, "SCMP_CMP_EQ")) for s in SOCKETS]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": ENOSYS, "syscalls": rules}
    return json.dumps(profile)


def _rule(
    names: list[str], action: str, *arguments: tuple[int, int, int, str], errno: int | None = None
) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": action}
    if arguments:
        keys = ("index", "value", "valueTwo", "op")
        rule["args"] = [dict(zip(keys, each, strict=True)) for each in arguments]
    if errno is not None:
        rule["errnoRet"] = errno
    return rule


@cache
def filter_program(machine: str = platform.machine()) -> bytes | None:
    """The filter as the kernel takes it: an array of `struct sock_filter`; None for other machines.

    A process of another architecture (32 bits, x32) is killed or has no such call.
    """
    if machine not in MACHINES:
        return None
    architecture, column = MACHINES[machine]
    number = {name: row[column - 1] for name, row in table().items()}
    program = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)]
    program.append((_LOAD, 0, 0, _NUMBER))
    beyond = 1 + max(each for each in number.values() if each is not None)
    # Calls that are newer, and those of x32, whose numbers have a high bit.
    program += [(_AT_LEAST, 0, 1, beyond), (_RETURN, 0, 0, _ERRNO | ENOSYS)]
    program += _refuse(_numbers(number, sorted(denied())), EPERM)
    program += _refuse(_numbers(number, MISSING), ENOSYS)
    program += _flags(number["clone"], 0, NEW_NAMESPACES)
    program += _among(number["personality"], 0, PERSONALITIES, EPERM)
    program += _among(number["socket"], 0, SOCKETS, EAFNOSUPPORT)
    program += _not_among(number["ioctl"], 1, TERMINAL_REQUESTS)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *each) for each in program)


Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


def _numbers(number: dict[str, int | None], names: Iterable[str]) -> list[int]:
    return [found for name in names if (found := number[name]) is not None]


def _refuse(numbers: list[int], error: int) -> list[Instruction]:
    """The accumulator holds the call's number, before and after."""
    found: list[Instruction] = []
    for each in numbers:
        found += [(_EQUAL, 0, 1, each), (_RETURN, 0, 0, _ERRNO | error)]
    return found


def _with_argument(call: int | None, argument: int, checks: list[Instruction]) -> list[Instruction]:
    """For that call only: `checks` on the low half of an argument, then on with the number."""
    assert call is not None
    body = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument), *checks, (_LOAD, 0, 0, _NUMBER)]
    return [(_EQUAL, 0, len(body), call), *body]


def _flags(call: int | None, argument: int, flags: int) -> list[Instruction]:
    """Refuse any of `flags`."""
    checks = [(_AND, 0, 0, flags), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _ERRNO | EPERM)]
    return _with_argument(call, argument, checks)


def _among(
    call: int | None, argument: int, values: tuple[int, ...], error: int
) -> list[Instruction]:
    """Refuse all but `values`."""
    left = range(len(values), 0, -1)
    checks: list[Instruction] = [
        (_EQUAL, more, 0, value) for value, more in zip(values, left, strict=True)
    ]
    return _with_argument(call, argument, [*checks, (_RETURN, 0, 0, _ERRNO | error)])


def _not_among(call: int | None, argument: int, values: tuple[int, ...]) -> list[Instruction]:
    """Refuse `values`."""
    checks: list[Instruction] = []
    for value in values:
        checks += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ERRNO | EPERM)]
    return _with_argument(call, argument, checks)
