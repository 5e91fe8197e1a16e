"""Strict JSON: what the standard allows, within bounds; everything else is refused."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.evaluators.strict_json import Json, StrictJsonError, parse

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_reads_what_json_writes(document: Json) -> None:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    assert parse(text.encode(), max_depth=50) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(StrictJsonError):
        parse(data)


@given(documents, st.text(st.sampled_from(' x{}[],:0"\\'), min_size=1))
def test_nothing_may_follow(document: Json, rest: str) -> None:
    data = (json.dumps(document) + " " + rest).encode()
    if rest.strip():
        with pytest.raises(StrictJsonError):
            parse(data, max_depth=50)
    else:
        assert parse(data, max_depth=50) == document


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"{'a': 1}",
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "b": 2, "a": 1}}',
        b"[1,]",
        b"01",
        b"\xff",
        b"\xef\xbb\xbf1",
        b'"\xed\xa0\x80"',
        b"1 2",
        b'{"score": 1}\n{"score": 2}',
        b"[" * 100_000,
        b"[" * 9 + b"]" * 9,
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(StrictJsonError):
        parse(data)


@given(st.integers(1, 30), st.integers(1, 30))
def test_depth_is_counted_exactly(depth: int, limit: int) -> None:
    data = (b'{"a":' * depth) + b"1" + b"}" * depth
    if depth <= limit:
        parse(data, max_depth=limit)
    else:
        with pytest.raises(StrictJsonError, match="nested"):
            parse(data, max_depth=limit)


def count(document: Json) -> int:
    children: list[Json] = []
    if isinstance(document, dict):
        children = list(document.values())
    elif isinstance(document, list):
        children = document
    return 1 + sum(count(each) for each in children)


def depth(document: Json) -> int:
    if isinstance(document, dict):
        return 1 + max((depth(each) for each in document.values()), default=0)
    return (
        1 + max((depth(each) for each in document), default=0) if isinstance(document, list) else 0
    )


@given(documents, st.sampled_from([None, 1]))
def test_elements_and_depth_are_counted_exactly(document: Json, indent: int | None) -> None:
    data = json.dumps(document, indent=indent).encode()
    number, levels = count(document), depth(document)
    assert parse(data, max_depth=levels, max_elements=number) == document
    with pytest.raises(StrictJsonError, match="elements"):
        parse(data, max_depth=levels, max_elements=number - 1)
    if levels:
        with pytest.raises(StrictJsonError, match="nested"):
            parse(data, max_depth=levels - 1)


@given(documents, st.integers(0, 200), st.text(st.sampled_from('[]{},"\\0')))
def test_what_is_cut_off_or_damaged_is_within_the_bounds_too(
    document: Json, at: int, junk: str
) -> None:
    """Nothing is read that was not counted: not even the beginning of what is refused."""
    text = json.dumps(document)
    data = (text[:at] + junk + text[at:]).encode()
    read = 0

    class Counting(json.JSONDecoder):
        def __init__(self) -> None:
            super().__init__(object_pairs_hook=self.seen)

        def seen(self, pairs: list[tuple[str, Json]]) -> Json:
            nonlocal read
            read += len(pairs)
            return dict(pairs)

    with contextlib.suppress(ValueError):
        Counting().decode(data.decode())
    if read > 3:
        with pytest.raises(StrictJsonError, match="elements"):
            parse(data, max_depth=100, max_elements=3)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"[" + b"0," * 200_000, "elements"),
        (b"[[]," * 150_000, "elements"),
        (b"[" * 50_000, "nested"),
        (b'{"a":' * 50_000, "nested"),
        (b'"' + b'\\"' * 400_000, "Unterminated"),
        (b'[0,"' + b"[" * 900_000 + b'"', "delimiter"),
    ],
)
def test_documents_that_are_large_for_their_bytes(data: bytes, wrong: str) -> None:
    with pytest.raises(StrictJsonError, match=wrong):
        parse(data)


def test_bytes_are_capped_before_anything_is_read() -> None:
    assert parse(b" " * 9 + b"1", max_bytes=10) == 1
    with pytest.raises(StrictJsonError, match="11 bytes"):
        parse(b" " * 10 + b"1", max_bytes=10)


@pytest.mark.parametrize("text", ["1e999", "1" + "0" * 309, "9" * 5000, "1" + "0" * 399])
def test_numbers_beyond_floats_are_infinite(text: str) -> None:
    assert parse(text.encode()) == math.inf
    assert parse(f"-{text}".encode()) == -math.inf


@given(st.integers(-(2**1023), 2**1023))
def test_integers_that_fit_stay_exact(value: int) -> None:
    assert parse(str(value).encode()) == value
