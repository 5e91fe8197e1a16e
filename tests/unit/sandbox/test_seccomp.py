"""The filter program, run by an interpreter of its own for both architectures, and the profile."""

import errno
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.seccomp import (
    DENIED,
    MACHINES,
    MISSING,
    PERSONALITIES,
    SOCKETS,
    denied,
    docker_profile,
    filter_program,
    table,
)

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
ANY_LONG = st.integers(0, 2**64 - 1)


def run(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter answers to a call, as the kernel would run it."""
    program = filter_program(machine)
    assert program is not None
    given_architecture = MACHINES[machine][0] if architecture is None else architecture
    filled = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, given_architecture, 0, *filled)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, if_true, if_false, operand = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x06:
            return int(operand)
        else:
            holds = accumulator == operand if code == 0x15 else accumulator >= operand
            at += if_true if holds else if_false


def number(machine: str, name: str) -> int | None:
    return table()[name][MACHINES[machine][1] - 1]


machines = pytest.mark.parametrize("machine", MACHINES)


@machines
def test_each_call_of_the_table_is_allowed_or_refused(machine: str) -> None:
    for name in table():
        call = number(machine, name)
        if call is None:
            continue
        answer = run(machine, call)
        if name in denied():
            assert answer == ERRNO | errno.EPERM, name
        elif name in MISSING:
            assert answer == ERRNO | errno.ENOSYS, name
        else:
            assert answer == ALLOW, name


@machines
@given(flags=ANY_LONG)
def test_no_namespace_by_clone(machine: str, flags: int) -> None:
    call = number(machine, "clone")
    assert call is not None
    asked = flags & 0x7E020000
    assert (run(machine, call, flags) == ALLOW) == (asked == 0)


@machines
@given(value=st.one_of(ANY_LONG, st.sampled_from((*PERSONALITIES, *SOCKETS))))
def test_arguments_that_are_allowed(machine: str, value: int) -> None:
    for name, allowed in (("personality", PERSONALITIES), ("socket", SOCKETS)):
        call = number(machine, name)
        assert call is not None
        # The kernel reads 32 bits of these.
        assert (run(machine, call, value) == ALLOW) == (value % 2**32 in allowed)


@machines
@given(high=st.integers(0, 2**32 - 1))
def test_terminals_are_not_typed_into(machine: str, high: int) -> None:
    call = number(machine, "ioctl")
    assert call is not None
    assert run(machine, call, 0, high << 32 | 0x5412) == ERRNO | errno.EPERM
    assert run(machine, call, 0, high << 32 | 0x5401) == ALLOW


@machines
@given(call=st.integers(0, 2**32 - 1))
def test_newer_calls_do_not_exist(machine: str, call: int) -> None:
    known = {number(machine, name) for name in table()}
    if call > max(each for each in known if each is not None):
        assert run(machine, call) == ERRNO | errno.ENOSYS


@machines
def test_another_architecture_is_killed(machine: str) -> None:
    assert run(machine, 0, architecture=0x40000003) == KILL


def test_other_machines_have_no_filter() -> None:
    assert filter_program("riscv64") is None


def test_the_profile_says_the_same_as_the_filter() -> None:
    profile: dict[str, Any] = json.loads(docker_profile())
    plain: dict[str, set[str]] = {}
    for rule in profile["syscalls"]:
        if "args" not in rule:
            key = rule["action"] + str(rule.get("errnoRet", ""))
            plain.setdefault(key, set()).update(rule["names"])
    assert plain[f"SCMP_ACT_ERRNO{errno.EPERM}"] == denied()
    assert plain[f"SCMP_ACT_ERRNO{errno.ENOSYS}"] == set(MISSING)
    rest = set(table()) - denied() - set(MISSING)
    assert plain["SCMP_ACT_ALLOW"] == rest - {"clone", "personality", "socket"}
    names = [name for group in DENIED.values() for name in group]
    assert len(names) == len(set(names))
    assert set(names) <= set(table())
