"""Programs of the suite as Python source, which is what the packages send to a model and judge."""

import re
from collections.abc import Sequence

from benchmarks.search.problems import Program

START, END = "# EVOLVE-BLOCK-START", "# EVOLVE-BLOCK-END"
"""OpenEvolve and ShinkaEvolve let a model change what is between two lines like these."""

_NUMBERS = r"\[([-+.,\de\s]*)\]"
_PROGRAM = re.compile(rf"{START}\s*CHOICES = {_NUMBERS}\s*CONSTANTS = {_NUMBERS}\s*{END}")


def body(program: Program) -> str:
    """The statements of a program, without the markers; one constant a line.

    Raises:
        ValueError: For a broken program: what becomes of failures is a convention of each package.
    """
    if program.broken:
        raise ValueError("a broken program has no source")
    choices = ", ".join(map(str, program.choices))
    constants = "".join(f"    {value!r},\n" for value in program.constants)
    return f"CHOICES = [{choices}]\nCONSTANTS = [\n{constants}]\n"


def source(program: Program) -> str:
    """The whole file; `read` of it is the program again, to the last digit."""
    return f"{START}\n{body(program)}{END}\n"


def programs(text: str) -> list[Program]:
    """All whole files in a text, in its order; what is quoted of others in changes is none."""
    return [
        Program(
            tuple(int(each) for each in _split(choices)),
            tuple(float(each) for each in _split(constants)),
        )
        for choices, constants in _PROGRAM.findall(text)
    ]


def _split(numbers: str) -> Sequence[str]:
    return numbers.replace(",", " ").split()


def read(text: str) -> Program:
    """The one program of a file.

    Raises:
        ValueError: When there is none, or more than one.
    """
    found = programs(text)
    if len(found) != 1:
        raise ValueError(f"{len(found)} programs where one was expected")
    return found[0]
