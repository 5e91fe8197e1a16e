"""Models of files of which only parts may be changed: without what lies in the other parts."""

from collections.abc import Sequence

from harness.agents.mutation import Model, Table

Span = tuple[int, int]


def restricted(model: Model, spans: Sequence[Span] | None) -> Model:
    """`model` with only those numbers, tables, functions and statements that lie in the spans.

    Spans are in bytes; None stands for the whole file.
    """
    if spans is None:
        return model

    def inside(span: Span) -> bool:
        return any(start <= span[0] and span[1] <= end for start, end in spans)

    kept = [i for i, number in enumerate(model.numbers) if inside((number.start, number.end))]
    index = {old: new for new, old in enumerate(kept)}
    return Model(
        model.text,
        tuple(model.numbers[i] for i in kept),
        tuple(
            Table(tuple(index[cell] for cell in table.cells), table.paths, table.rows)
            for table in model.tables
            if all(cell in index for cell in table.cells) and all(map(inside, table.rows))
        ),
        {name: span for name, span in model.functions.items() if inside(span)},
        tuple(span for span in model.statements if inside(span)),
    )
