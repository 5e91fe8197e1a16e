"""Programs, and the problems that score them: pure functions with a known best score of 1.

A program is what a proposer edits: discrete choices and constants. A score is the share of the gap
between the seed's cost and the optimum's that is closed: 0 for the seed, 1 at the optimum,
negative below the seed.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Program:
    """`broken` programs fail; they have what a repair would lay bare."""

    choices: tuple[int, ...]
    constants: tuple[float, ...]
    broken: bool = False


Module = tuple[Sequence[int], Sequence[int]]
"""Indices of the choices and of the constants that belong together."""


class Problem(Protocol):
    """A pure objective over programs. Constants live in [-1, 1]."""

    options: Sequence[int]
    """Number of values of each choice that an edit can reach."""
    modules: Sequence[Module]
    failing: float
    """Probability that a new program is broken."""
    noise: float
    """Standard deviation of what an evaluation adds to the true score."""
    seed: Program

    def fresh(self, rng: random.Random) -> Program:
        """A program written from scratch."""
        ...

    def true(self, program: Program) -> float:
        """The score without noise."""
        ...

    def joined(self, taker: Program, giver: Program, child: Program) -> Program:
        """What a combination of two programs really is; mostly `child` itself."""
        ...


def rastrigin(x: Sequence[float]) -> float:
    """Domain [-5.12, 5.12]."""
    return sum(v * v - 10.0 * math.cos(2.0 * math.pi * v) + 10.0 for v in x)


def ackley(x: Sequence[float]) -> float:
    """Domain [-32.8, 32.8]."""
    n = len(x)
    spread = math.sqrt(sum(v * v for v in x) / n)
    waves = sum(math.cos(2.0 * math.pi * v) for v in x) / n
    return -20.0 * math.exp(-0.2 * spread) - math.exp(waves) + 20.0 + math.e


def griewank(x: Sequence[float]) -> float:
    """Domain [-600, 600]."""
    product = math.prod(math.cos(v / math.sqrt(i)) for i, v in enumerate(x, start=1))
    return 1.0 + sum(v * v for v in x) / 4000.0 - product


FUNCTIONS: dict[str, tuple[Callable[[Sequence[float]], float], float]] = {
    "rastrigin": (rastrigin, 5.12),
    "ackley": (ackley, 32.8),
    "griewank": (griewank, 600.0),
}


class Multimodal:
    """Constants are a point of a shifted multimodal function."""

    options: Sequence[int] = ()

    def __init__(
        self, name: str, dims: int, rng: random.Random, failing: float = 0.0, noise: float = 0.0
    ) -> None:
        self._function, self._scale = FUNCTIONS[name]
        self._dims = dims
        self._shift = [rng.uniform(-0.6, 0.6) for _ in range(dims)]
        self.modules: Sequence[Module] = [((), (i,)) for i in range(dims)]
        self.failing, self.noise = failing, noise
        self.seed = self.fresh(rng)
        self._start = self._cost(self.seed)

    def fresh(self, rng: random.Random) -> Program:
        return Program((), tuple(rng.uniform(-1.0, 1.0) for _ in range(self._dims)))

    def _cost(self, program: Program) -> float:
        pairs = zip(program.constants, self._shift, strict=True)
        return self._function([(c - s) * self._scale for c, s in pairs])

    def true(self, program: Program) -> float:
        return 1.0 - self._cost(program) / self._start

    def joined(self, taker: Program, giver: Program, child: Program) -> Program:
        return child


class Deceptive:
    """Blocks of choices where every single edit away from all-ones pays (Goldberg's trap).

    A block of k choices with u ones is worth 1 for u = k, else 0.7 (k - 1 - u) / (k - 1): edits
    lead to all-zeros, the optimum is the far corner. Each block has constants whose error takes up
    to half of its worth.
    """

    PER_BLOCK = 3

    def __init__(self, blocks: int, width: int, rng: random.Random) -> None:
        self._width = width
        self.options: Sequence[int] = [2] * (blocks * width)
        self.modules: Sequence[Module] = [
            (range(b * width, (b + 1) * width), range(b * self.PER_BLOCK, (b + 1) * self.PER_BLOCK))
            for b in range(blocks)
        ]
        self._mask = [rng.randrange(2) for _ in range(blocks * width)]
        self._target = [rng.uniform(-0.8, 0.8) for _ in range(blocks * self.PER_BLOCK)]
        self.failing = self.noise = 0.0
        self.seed = self.fresh(rng)
        self._start = self._worth(self.seed)

    def fresh(self, rng: random.Random) -> Program:
        return Program(
            tuple(rng.randrange(2) for _ in self.options),
            tuple(rng.uniform(-1.0, 1.0) for _ in self._target),
        )

    def _worth(self, program: Program) -> float:
        total = 0.0
        for choices, constants in self.modules:
            ones = sum(program.choices[i] == self._mask[i] for i in choices)
            trap = 0.7 * (self._width - 1 - ones) / (self._width - 1)
            error = sum(abs(program.constants[i] - self._target[i]) for i in constants)
            worth = 1.0 if ones == self._width else trap
            total += worth * (1.0 - 0.5 * min(1.0, error / len(constants)))
        return total / len(self.modules)

    def true(self, program: Program) -> float:
        return (self._worth(program) - self._start) / (1.0 - self._start)

    def joined(self, taker: Program, giver: Program, child: Program) -> Program:
        return child


class Halves:
    """Two designs, each of which solves its half; only a combination of both has both halves.

    The choice is the design: 0 uses the first half of the constants, 1 the second, 2 both. Nobody
    writes 2 from scratch or edits towards it: it comes of combining a program that has 0 with one
    that has 1. The seed has 0.
    """

    options: Sequence[int] = ()

    def __init__(self, dims: int, rng: random.Random) -> None:
        self._half = dims // 2
        self.modules: Sequence[Module] = [((), range(self._half)), ((), range(self._half, dims))]
        self._target = [rng.uniform(-0.8, 0.8) for _ in range(dims)]
        self.failing = self.noise = 0.0
        self.seed = Program((0,), self.fresh(rng).constants)
        self._start = self._worth(self.seed)

    def fresh(self, rng: random.Random) -> Program:
        return Program((rng.randrange(2),), tuple(rng.uniform(-1.0, 1.0) for _ in self._target))

    def _worth(self, program: Program) -> float:
        errors = [abs(c - t) for c, t in zip(program.constants, self._target, strict=True)]
        halves = [errors[: self._half], errors[self._half :]]
        used = halves if program.choices[0] == 2 else [halves[program.choices[0]]]
        return sum(0.5 * math.exp(-3.0 * sum(half) / len(half)) for half in used)

    def true(self, program: Program) -> float:
        return (self._worth(program) - self._start) / (1.0 - self._start)

    def joined(self, taker: Program, giver: Program, child: Program) -> Program:
        designs = {taker.choices[0], giver.choices[0]}
        if designs != {0, 1}:
            return Program((max(designs),), child.constants)
        first, second = (taker, giver) if taker.choices[0] == 0 else (giver, taker)
        return Program((2,), first.constants[: self._half] + second.constants[self._half :])


Maker = Callable[[random.Random], Problem]

TUNING: dict[str, list[Maker]] = {
    "multimodal": [
        lambda rng: Multimodal("rastrigin", 10, rng),
        lambda rng: Multimodal("ackley", 30, rng),
    ],
    "deceptive": [lambda rng: Deceptive(4, 4, rng)],
    "failing": [lambda rng: Multimodal("ackley", 10, rng, failing=0.3)],
    "noisy": [lambda rng: Multimodal("rastrigin", 10, rng, noise=0.05)],
    "halves": [lambda rng: Halves(10, rng)],
}
"""What the policies were tuned on."""

REPORT: dict[str, list[Maker]] = {
    "multimodal": [
        lambda rng: Multimodal("rastrigin", 20, rng),
        lambda rng: Multimodal("ackley", 50, rng),
        lambda rng: Multimodal("griewank", 10, rng),
    ],
    "deceptive": [lambda rng: Deceptive(5, 4, rng)],
    "failing": [lambda rng: Multimodal("rastrigin", 15, rng, failing=0.3)],
    "noisy": [lambda rng: Multimodal("griewank", 15, rng, noise=0.05)],
    "halves": [lambda rng: Halves(16, rng)],
}
"""What is reported: other functions, sizes, shifts and seeds."""
