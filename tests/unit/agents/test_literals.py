"""Numbers and tables in source text: found by parsing, replaced by splicing."""

import ast
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agents.mutation import Model, as_float, parse, splice

SOURCE = b'''"""Text with 3 numbers, 1.5 and 2."""
import math

RATE = 0.5
TABLE = [
    [0.1, -0.2, 3],  # a comment with 7
    [1e-3, +4.0, 0x10],
]
PAIRS = {"a": (1, 2), "b": (3, 4)}


def area(r, n=2):
    x = -r ** 2 + 2 ** -0.5
    return math.pi * x - 1_000 * PAIRS["a"][0] + n


print(f"{area(1.0):.3f}")
'''


def model(data: bytes, path: str = "a.py") -> Model:
    found = parse(path, data)
    assert found is not None
    return found


def test_literals_are_found_with_their_signs_but_text_and_indices_are_not() -> None:
    found = model(SOURCE)
    literals = [found.text[n.start : n.end].decode() for n in found.numbers]
    expected = "0.5 0.1 -0.2 3 1e-3 +4.0 0x10 1 2 3 4 2 2 2 -0.5 1_000"
    assert " ".join(literals) == expected
    assert [n.value for n in found.numbers] == [as_float(literal) for literal in literals]
    assert [len(t.cells) for t in found.tables] == [6, 4]
    assert found.tables[0].paths == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2))
    rows = [found.text[a:b] for a, b in found.tables[0].rows]
    assert rows == [b"[0.1, -0.2, 3]", b"[1e-3, +4.0, 0x10]"]
    assert set(found.functions) == {"RATE", "TABLE", "PAIRS", "area"}


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_spliced_model_equals_the_parsed_one(data: st.DataObject) -> None:
    found = model(SOURCE)
    changes = data.draw(
        st.dictionaries(
            st.integers(0, len(found.numbers) - 1),
            st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 6)),
        )
    )
    child = splice(found, changes)
    ast.parse(child.text)
    # A comment keeps the content out of the cache, which might hold the derived model.
    reparsed = model(child.text + b"# again\n")
    assert child.numbers == reparsed.numbers
    assert child.tables == reparsed.tables
    assert child.functions == reparsed.functions
    assert child.statements == reparsed.statements
    for index, number in enumerate(child.numbers):
        if index not in changes:
            assert number.value == found.numbers[index].value
        elif not number.integer and number.signed:
            assert number.value == pytest.approx(changes[index], rel=1e-12)


def test_numbers_that_are_not_quantities_of_their_own_keep_their_sign() -> None:
    found = model(b"def f(x):\n    return x - 2.0 ** x\n\n\nY = 3.0\n")
    child = splice(found, {0: -5.0, 1: -5.0})
    assert child.text == b"def f(x):\n    return x - 5.0 ** x\n\n\nY = -5.0\n"


def test_data_files_are_numbers_in_text() -> None:
    found = model(b'{"points": [1.5, -2e3], "n": 7, "v1": "x2"}\n', "answer.json")
    assert [n.value for n in found.numbers] == [1.5, -2000.0, 7.0]
    assert (
        splice(found, {0: 0.25, 2: 9.0}).text == b'{"points": [0.25, -2e3], "n": 9, "v1": "x2"}\n'
    )


@pytest.mark.parametrize(
    "data", [b"def broken(:\n    1.5 2.5\n", b"x = (" * 300 + b"1.5", b"\xef\xbb\xbfx = 1.5\n"]
)
def test_what_does_not_parse_is_still_text(data: bytes) -> None:
    assert 1.5 in [n.value for n in model(data).numbers]


def test_bytes_that_are_no_text_have_no_model() -> None:
    assert parse("image.png", b"\x89PNG\xff\xfe\x00") is None


@given(st.floats(allow_nan=False, allow_infinity=False), st.randoms(use_true_random=False))
def test_a_float_survives_being_written(value: float, rng: Random) -> None:
    found = model(b"X = 1.0\n")
    child = splice(found, {0: value})
    assert child.numbers[0].value == pytest.approx(value, rel=1e-12)
