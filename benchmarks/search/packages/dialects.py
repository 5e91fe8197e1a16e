"""How a prompt is read and an answer written: what each package's own prompt templates ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.search.packages.source import body, programs, read, source
from benchmarks.search.problems import Program

from harness.attempt import Operator


@dataclass(frozen=True, slots=True)
class Wish:
    """What a prompt asks for, in the suite's words. `diff`: answered with a change, not a file."""

    operator: Operator
    base: Program
    parent: Program | None = None
    references: Sequence[Program] = ()
    diff: bool = False


class Dialect(Protocol):
    def read(self, system: str, prompt: str) -> Wish:
        """What is asked for.

        Raises:
            ValueError: When this is no prompt for a program.
        """
        ...

    def write(self, wish: Wish, child: Program) -> str:
        """The answer of a model that thought of `child`."""
        ...


def fenced(program: Program) -> str:
    """The whole file in a Markdown code block."""
    return f"```python\n{source(program)}```"


def replacement(base: Program, child: Program) -> str:
    """One SEARCH/REPLACE block that makes the child out of the base."""
    return f"<<<<<<< SEARCH\n{body(base)}=======\n{body(child)}>>>>>>> REPLACE"


def divided(prompt: str, header: str) -> tuple[str, str]:
    """What is before and after a line that a prompt has once.

    Raises:
        ValueError: When the prompt doesn't have it.
    """
    before, found, after = prompt.rpartition(f"{header}\n")
    if not found:
        raise ValueError(f"no line {header!r} in the prompt")
    return before, after


def others(shown: Sequence[Program], base: Program) -> list[Program]:
    """The programs shown beside the base, each once."""
    return [each for each in dict.fromkeys(shown) if each != base]


class Plain:
    """The control's: a directive of one of our policies, complete, in words."""

    OPERATOR, PROGRAM, BEFORE, SHOWN = "# Operator", "# Program", "# Before it", "# Shown"

    def ask(self, wish: Wish) -> str:
        before = "" if wish.parent is None else source(wish.parent)
        shown = "".join(map(source, wish.references))
        return (
            f"{self.OPERATOR}\n{wish.operator.value}\n{self.PROGRAM}\n{source(wish.base)}"
            f"{self.BEFORE}\n{before}{self.SHOWN}\n{shown}"
        )

    def read(self, system: str, prompt: str) -> Wish:
        prompt, shown = divided(prompt, self.SHOWN)
        prompt, before = divided(prompt, self.BEFORE)
        prompt, base = divided(prompt, self.PROGRAM)
        _, operator = divided(prompt, self.OPERATOR)
        return Wish(
            Operator(operator.strip()),
            read(base),
            read(before) if before else None,
            programs(shown),
        )

    def write(self, wish: Wish, child: Program) -> str:
        return source(child)
