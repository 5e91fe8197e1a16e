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


@given(st.integers(1, 60), st.integers(1, 60))
def test_values_are_counted_before_they_are_built(count: int, limit: int) -> None:
    for text in (
        f"[{'1,' * (count - 1)}1]",
        "{" + ",".join(f'"{n}":0' for n in range(count)) + "}",
    ):
        if count + 1 > limit:
            with pytest.raises(StrictJsonError, match=f"more than {limit} values"):
                parse(text.encode(), max_elements=limit)
        else:
            assert len(parse(text.encode(), max_elements=limit)) == count  # type: ignore[arg-type]
