"""A bubble sort of five values, unrolled: passes of exchanges, each written back to memory."""

PASSES = 5
SCRATCH = 5


def exchange(program: list, low: int, high: int) -> None:
    """Put the smaller of two registers into `low`, the larger into `high`."""
    program.append(["mov", SCRATCH, low])
    program.append(["cmp", low, high])
    program.append(["cmovg", low, high])
    program.append(["cmovg", high, SCRATCH])
    program.append(["store", low, low])
    program.append(["store", high, high])


def build() -> list:
    """The program: register i holds what belongs in cell i."""
    program = [["load", i, i] for i in range(5)]
    for _ in range(PASSES):
        for i in range(4):
            exchange(program, i, i + 1)
    program.extend(["store", i, i] for i in range(5))
    return program
