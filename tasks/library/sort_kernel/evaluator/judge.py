"""Scores a straight-line sorting program by its length, after running it on every order type."""

import functools
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

CELLS = 5
REGISTERS = 14
MAX_INSTRUCTIONS = 200
MAX_BYTES = 64 * 1024
MOVES = {"cmovl": (-1,), "cmovle": (-1, 0), "cmovg": (1,), "cmovge": (0, 1)}
"""Signs of the latest comparison on which a conditional move acts."""
LIMITS = {"load": (REGISTERS, CELLS), "store": (CELLS, REGISTERS)}
"""How many values each operand can take; registers for all other instructions."""
NAMES = ("load", "store", "mov", "cmp", *MOVES)

Instruction = tuple[str, int, int]


class InvalidOutputError(ValueError):
    """The output is not a program that sorts."""


def _constant(name: str) -> NoReturn:
    raise InvalidOutputError(f"{name} is not a number")


def load(path: Path) -> Any:
    """The JSON document in `path`, which must be small and strict."""
    if path.is_symlink() or not path.is_file():
        raise InvalidOutputError(f"{path.name} was not written as a regular file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidOutputError(f"{path.name} is larger than {MAX_BYTES} bytes")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidOutputError(f"{path.name} is not strict JSON: {error}") from None


def parse_instruction(entry: Any, where: str) -> Instruction:
    """One instruction with operands in range; `True` is not a whole number."""
    fields: list[Any] = entry
    if type(entry) is not list or len(fields) != 3 or fields[0] not in NAMES:
        raise InvalidOutputError(f"{where} must be [name, a, b] with a name of {', '.join(NAMES)}")
    name = str(fields[0])
    for operand, limit in zip(fields[1:], LIMITS.get(name, (REGISTERS, REGISTERS)), strict=True):
        if type(operand) is not int or not 0 <= operand < limit:
            raise InvalidOutputError(
                f"{where} ({name}): operands must be whole numbers in range, here 0 to {limit - 1}"
            )
    return name, fields[1], fields[2]


def parse(document: Any) -> list[Instruction]:
    """The program."""
    entries: list[Any] = document
    if type(document) is not list or not 1 <= len(entries) <= MAX_INSTRUCTIONS:
        raise InvalidOutputError(
            f"the output must be a list of 1 to {MAX_INSTRUCTIONS} instructions"
        )
    return [parse_instruction(entry, f"instruction {i}") for i, entry in enumerate(entries)]


def check_reads(program: list[Instruction]) -> None:
    """Refuses a read of an unset register and a conditional move before any comparison."""
    written: set[int] = set()
    compared = False
    for index, (name, a, b) in enumerate(program):
        reads = {"load": (), "store": (b,), "mov": (b,)}.get(name, (a, b))
        for register in reads:
            if register not in written:
                raise InvalidOutputError(
                    f"instruction {index} ({name}) reads register {register}, which is unset"
                )
        if name in MOVES and not compared:
            raise InvalidOutputError(f"instruction {index} ({name}) comes before any cmp")
        compared = compared or name == "cmp"
        if name in ("load", "mov"):
            written.add(a)


def run(program: list[Instruction], values: tuple[int, ...]) -> list[int]:
    """Memory after the program, on a machine whose memory starts as `values`."""
    memory = list(values)
    registers = [0] * REGISTERS
    sign = 0
    for name, a, b in program:
        if name == "load":
            registers[a] = memory[b]
        elif name == "store":
            memory[a] = registers[b]
        elif name == "cmp":
            sign = (registers[a] > registers[b]) - (registers[a] < registers[b])
        elif name == "mov" or sign in MOVES[name]:
            registers[a] = registers[b]
    return memory


@functools.cache
def order_types() -> tuple[tuple[int, ...], ...]:
    """Each way to order the cells, ties included: the tuples whose values are 0 to some k."""
    tuples = itertools.product(range(CELLS), repeat=CELLS)
    return tuple(values for values in tuples if len(set(values)) == max(values) + 1)


def check_sorts(program: list[Instruction]) -> None:
    """Refuses a program that leaves any order type unsorted."""
    for values in order_types():
        result = run(program, values)
        if result != sorted(values):
            raise InvalidOutputError(f"the input {list(values)} becomes {result}")


def judge(outputs: Path, private: Path, seed: int) -> dict[str, Any]:
    """Length of the program in `program.json`; `private` and `seed` are not used."""
    try:
        program = parse(load(outputs / "program.json"))
        check_reads(program)
        check_sorts(program)
    except InvalidOutputError as error:
        return {"score": None, "metrics": {}, "feedback": str(error)}
    counts = Counter(name if name not in MOVES else "conditional_moves" for name, _, _ in program)
    used = {a for name, a, _ in program if name in ("load", "mov")}
    metrics = {name: float(count) for name, count in sorted(counts.items())}
    metrics["registers"] = float(len(used))
    feedback = f"valid; {len(program)} instructions, {len(used)} registers"
    return {"score": float(len(program)), "metrics": metrics, "feedback": feedback}
