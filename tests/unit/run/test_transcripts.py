"""Reading transcripts while they are written, and after a kill."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.run.transcripts import DAMAGED, Transcript

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
RECORDS = st.lists(st.fixed_dictionaries({"type": TEXT, "text": TEXT}), max_size=8)


def _line(record: dict[str, Any], at: float = 1.0) -> bytes:
    return (json.dumps({"at": at, **record}, ensure_ascii=False) + "\n").encode("utf-8")


@settings(deadline=None, max_examples=40)
@given(records=RECORDS, cuts=st.lists(st.integers(0, 400), max_size=6))
def test_however_the_file_grows_each_record_is_read_once_and_in_order(
    tmp_path_factory: Any, records: list[dict[str, Any]], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("grows") / "agent-1.jsonl"
    whole = b"".join(map(_line, records))
    reader = Transcript(path)
    assert reader.read() == []
    found: list[dict[str, Any]] = []
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    for start, stop in pairwise(places):
        with path.open("ab") as file:
            file.write(whole[start:stop])
        found += reader.read()
        assert reader.incomplete == (not whole[:stop].endswith(b"\n"))
    assert found == [{"at": 1.0, **record} for record in records]


def test_the_last_ones_of_many(tmp_path: Path) -> None:
    path = tmp_path / "agent-1.jsonl"
    path.write_bytes(b"".join(_line({"type": "user", "n": n}) for n in range(3000)))
    assert [record["n"] for record in Transcript(path).read(last=2)] == [2998, 2999]


def test_a_line_that_a_kill_cut_off_hides_neither_itself_nor_the_next(tmp_path: Path) -> None:
    path = tmp_path / "agent-1.jsonl"
    first, cut, after = _line({"type": "user"}), _line({"type": "tool", "text": "x" * 50}), 2.0
    path.write_bytes(first + cut[:40])
    reader = Transcript(path)
    assert [record["type"] for record in reader.read()] == ["user"]
    assert reader.incomplete
    with path.open("ab") as file:  # the resumed agent appends
        file.write(_line({"type": "assistant", "inner": {"at": 3.0}}, after))
    damaged, whole = reader.read()
    assert damaged == {"type": DAMAGED, "text": cut[:40].decode()}
    assert whole == {"at": after, "type": "assistant", "inner": {"at": 3.0}}
    assert not reader.incomplete


def test_lines_that_are_no_records_are_kept_as_text(tmp_path: Path) -> None:
    path = tmp_path / "agent-1.jsonl"
    path.write_bytes(
        b'not json\n[1]\n\n\xff\n"x"\n' + b"[" * 100_000 + b"\n" + _line({"type": "x"})
    )
    found = Transcript(path).read()
    assert [record["type"] for record in found] == [DAMAGED] * 5 + ["x"]
    assert found[0]["text"] == "not json"
