"""Source files as numbers in a frozen text: found once with libcst, replaced by splicing.

Parsing with libcst and resolving positions costs some 15 ms per kilobyte, splicing a fraction of a
millisecond. So a file is parsed once, and the model of a spliced text is derived from that of its
origin: the spans behind a replacement move. `parse` remembers models by content in a bounded cache;
a derived model equals the parsed one, so it doesn't matter which of the two is found there.
"""

import math
import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, CodeSpan, MetadataWrapper

MAX_PARSED_BYTES = 256 * 1024
"""Larger files are treated as plain text with numbers in it."""
CACHED_MODELS = 128
CACHED_BYTES = 16 * 1024 * 1024

_NUMBER = re.compile(rb"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w.])")
_Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric literal: its bytes `start:end`, sign included, and its value.

    `signed` says whether a minus may be put before it without changing how the text parses.
    """

    start: int
    end: int
    value: float
    integer: bool
    signed: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A nested list, tuple or dict literal with at least two numbers in it.

    `cells` are indices into `Model.numbers` in the order of the text, `paths` the place of each in
    the nesting, `rows` the byte spans of the outermost elements.
    """

    cells: tuple[int, ...]
    paths: tuple[_Path, ...]
    rows: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[_Path, ...]:
        """Tables of equal shape can be combined cell by cell."""
        return self.paths


@dataclass(frozen=True, slots=True)
class Model:
    """A file's text and what can be changed in it; all spans are in bytes."""

    text: bytes
    numbers: tuple[Number, ...]
    tables: tuple[Table, ...]
    functions: Mapping[str, tuple[int, int]]
    """Spans of the top-level functions and of assignments of a name, by name."""
    statements: tuple[tuple[int, int], ...]
    """Spans of simple statements within functions that have others beside them."""

    @property
    def scalars(self) -> tuple[int, ...]:
        """Indices of the numbers that are in no table."""
        tabled = {cell for table in self.tables for cell in table.cells}
        return tuple(i for i in range(len(self.numbers)) if i not in tabled)

    def aligned(self, other: "Model") -> bool:
        """Whether the two differ at most in the values of their numbers."""
        return len(self.numbers) == len(other.numbers) and [t.shape for t in self.tables] == [
            t.shape for t in other.tables
        ]


def parse(path: str, data: bytes) -> Model | None:
    """The model of a file; None for one that holds no UTF-8 text."""
    return _cache.get(path.endswith(".py"), data)


def splice(model: Model, values: Mapping[int, float]) -> Model:
    """The model with the numbers at these indices replaced.

    Integers are rounded; a number that must keep its sign does.
    """
    changes = [(model.numbers[i], values[i]) for i in sorted(values)]
    parts: list[bytes] = []
    ends: list[int] = []
    shifts = [0]
    replaced: dict[int, Number] = {}
    position = 0
    for index, (number, value) in zip(sorted(values), changes, strict=True):
        literal = format_number(number, value)
        parts += [model.text[position : number.start], literal]
        position = number.end
        ends.append(number.end)
        start = number.start + shifts[-1]
        shifts.append(shifts[-1] + len(literal) - (number.end - number.start))
        replaced[index] = replace(
            number, start=start, end=start + len(literal), value=float(literal)
        )
    parts.append(model.text[position:])
    text = b"".join(parts)

    def moved(span: tuple[int, int]) -> tuple[int, int]:
        # A span that ends exactly with a replaced number ends with the new one.
        return (
            span[0] + shifts[bisect_left(ends, span[0] + 1)],
            span[1] + shifts[bisect_left(ends, span[1] + 1)],
        )

    spans = [moved((n.start, n.end)) for n in model.numbers]
    return Model(
        text,
        tuple(
            replaced.get(i) or Number(*spans[i], n.value, n.integer, n.signed)
            for i, n in enumerate(model.numbers)
        ),
        tuple(Table(t.cells, t.paths, tuple(moved(r) for r in t.rows)) for t in model.tables),
        {name: moved(span) for name, span in model.functions.items()},
        tuple(moved(span) for span in model.statements),
    )


def format_number(number: Number, value: float) -> bytes:
    """The literal of `value` in place of `number`: an integer stays one, a fixed sign stays."""
    if not math.isfinite(value):
        value = number.value
    if not number.signed:
        value = abs(value)
    if number.integer:
        return str(round(value)).encode()
    return repr(float(f"{value:.14g}")).encode()


def remember(path: str, model: Model) -> None:
    """Keep a derived model, so that the attempt made of it needs no parsing."""
    _cache.put(path.endswith(".py"), model)


def as_float(literal: str) -> float:
    """Value of a Python number literal (any base, underscores allowed).

    Raises:
        ValueError: Not a finite real number.
    """
    plain = literal.replace("_", "").lower()
    based = plain.lstrip("-")[:2] in {"0x", "0o", "0b"}
    value = float(int(plain, 0)) if based else float(plain)
    if not math.isfinite(value):
        raise ValueError(literal)
    return value


class _Cache:
    """Models by content, least recently used out first; bounded in number and in bytes."""

    def __init__(self) -> None:
        self._models: OrderedDict[tuple[bool, bytes], Model | None] = OrderedDict()
        self._bytes = 0

    def get(self, python: bool, data: bytes) -> Model | None:
        key = (python, data)
        if key in self._models:
            self._models.move_to_end(key)
            return self._models[key]
        model = _parse(python, data)
        self._insert(key, model)
        return model

    def put(self, python: bool, model: Model) -> None:
        key = (python, model.text)
        if key not in self._models:
            self._insert(key, model)

    def _insert(self, key: tuple[bool, bytes], model: Model | None) -> None:
        self._models[key] = model
        self._bytes += len(key[1])
        while self._models and (len(self._models) > CACHED_MODELS or self._bytes > CACHED_BYTES):
            (_, data), _ = self._models.popitem(last=False)
            self._bytes -= len(data)


_cache = _Cache()


def _parse(python: bool, data: bytes) -> Model | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if python and len(data) <= MAX_PARSED_BYTES and not text.startswith("\ufeff"):
        try:
            wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        except (cst.ParserSyntaxError, RecursionError):
            return _parse_text(data)
        finder = _Finder(data, wrapper.resolve(ByteSpanPositionProvider))
        wrapper.module.visit(finder)
        return finder.model()
    return _parse_text(data)


def _parse_text(data: bytes) -> Model:
    """Every number of a text is a scalar; the numbers of one line of several form a table."""
    numbers = tuple(
        Number(m.start(), m.end(), float(m[0]), re.fullmatch(rb"[-+]?\d+", m[0]) is not None, True)
        for m in _NUMBER.finditer(data)
        if math.isfinite(float(m[0]))
    )
    if len(numbers) < 2:
        return Model(data, numbers, (), {}, ())
    line_of = [data.count(b"\n", 0, n.start) for n in numbers] if len(numbers) < 2000 else []
    cells = tuple(range(len(numbers)))
    if not line_of:
        return Model(data, numbers, (Table(cells, tuple((i,) for i in cells), ()),), {}, ())
    columns = [i - line_of.index(line) for i, line in enumerate(line_of)]
    paths = tuple(zip(line_of, columns, strict=True))
    return Model(data, numbers, (Table(cells, paths, ()),), {}, ())


class _Finder(cst.CSTVisitor):
    """Collects numbers, tables, functions and statements with their spans."""

    def __init__(self, text: bytes, spans: Mapping[cst.CSTNode, CodeSpan]) -> None:
        super().__init__()
        self._text = text
        self._spans = spans
        self._numbers: list[Number] = []
        self._index: dict[cst.CSTNode, int] = {}
        self._tables: list[Table] = []
        self._functions: dict[str, tuple[int, int]] = {}
        self._statements: list[tuple[int, int]] = []
        self._fixed: set[cst.CSTNode] = set()
        self._depth = 0

    def model(self) -> Model:
        return Model(
            self._text,
            tuple(self._numbers),
            tuple(self._tables),
            self._functions,
            tuple(self._statements),
        )

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        span = self._spans[node]
        return span.start, span.start + span.length

    def on_visit(self, node: cst.CSTNode) -> bool:
        match node:
            case cst.Integer() | cst.Float():
                self._number(node, node.value)
            case cst.UnaryOperation():
                return self._enter_sign(node)
            case cst.BinaryOperation():
                self._fixed |= {node.left, node.right}
            case cst.Attribute():
                self._fixed.add(node.value)
            case cst.List() | cst.Tuple() | cst.Dict():
                self._depth += 1
            case cst.Module():
                self._find_definitions(node)
            case cst.IndentedBlock() if len(node.body) > 1:
                self._statements += [self._span(item) for item in node.body]
            case cst.Subscript():
                node.value.visit(self)
                return False  # what is in brackets is an index or a type, no quantity
            case cst.FormattedString() | cst.Annotation():
                return False  # text for people, types
            case _:
                pass
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        """A table is complete when its outermost literal is left: its numbers have been met."""
        if not isinstance(original_node, cst.List | cst.Tuple | cst.Dict):
            return
        self._depth -= 1
        found = self._cells(original_node, ()) if not self._depth else []
        if len(found) < 2:
            return
        spans = [self._span(element) for element in original_node.elements]
        # libcst counts the comma and the space behind it to an element.
        rows = tuple((a, len(self._text[:b].rstrip(b", \t\r\n"))) for a, b in spans)
        self._tables.append(Table(tuple(c for c, _ in found), tuple(p for _, p in found), rows))

    def _enter_sign(self, node: cst.UnaryOperation) -> bool:
        inner = node.expression
        minus = isinstance(node.operator, cst.Minus)
        signs = minus or isinstance(node.operator, cst.Plus)
        if signs and isinstance(inner, cst.Integer | cst.Float) and not inner.lpar:
            self._number(node, f"-{inner.value}" if minus else inner.value)
            return False
        self._fixed.add(inner)
        return True

    def _number(self, node: cst.BaseExpression, literal: str) -> None:
        try:
            value = as_float(literal)
        except ValueError:
            return
        self._index[node] = len(self._numbers)
        start, end = self._span(node)
        digits = node.expression if isinstance(node, cst.UnaryOperation) else node
        integer = isinstance(digits, cst.Integer)
        self._numbers.append(Number(start, end, value, integer, node not in self._fixed))

    def _cells(self, node: cst.BaseExpression, path: _Path) -> list[tuple[int, _Path]]:
        if node in self._index:
            return [(self._index[node], path)]
        found: list[tuple[int, _Path]] = []
        if isinstance(node, cst.List | cst.Tuple | cst.Dict):
            for place, element in enumerate(node.elements):
                found += self._cells(element.value, (*path, place))
        return found

    def _find_definitions(self, module: cst.Module) -> None:
        """Functions, and assignments of a single name, at the top level."""
        for item in module.body:
            match item:
                case cst.FunctionDef(name=cst.Name(value=name)):
                    self._functions[name] = self._span(item)
                case cst.SimpleStatementLine(
                    body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))])]
                ):
                    self._functions[name] = self._span(item.body[0])
                case _:
                    pass
