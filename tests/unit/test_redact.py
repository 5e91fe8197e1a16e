"""Secrets are found by value and by shape, wherever they are cut; nothing else is."""

import base64
import json
import sqlite3
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness import redact as module
from harness.redact import (
    RedactedStream,
    RedactingConnection,
    Redactor,
    protect,
    redact,
    secrets_of,
)
from harness.text import visible

ROOT = Path(__file__).parents[2]
ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PLAIN = Redactor()


def letters(least: int, most: int, alphabet: str = ALNUM) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most)


URLSAFE = ALNUM + "-_"
PEM_BODY = st.binary(min_size=60, max_size=300).map(
    lambda data: base64.encodebytes(data).decode().strip()
)
SHAPED = st.one_of(
    letters(40, 60).map(lambda body: f"sk-{body}7"),
    letters(40, 60).map(lambda body: f"sk-proj-{body}7_x"),
    letters(40, 90, URLSAFE).map(lambda body: f"sk-ant-api03-{body}"),
    letters(16, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").map(lambda body: f"AKIA{body}"),
    st.tuples(st.sampled_from("pousr"), letters(36, 36)).map(lambda t: f"gh{t[0]}_{t[1]}"),
    letters(34, 34).map(lambda body: f"hf_{body}"),
    letters(24, 24).map(lambda body: f"xoxb-123456789012-{body}"),
    letters(35, 35, URLSAFE).map(lambda body: f"AIza{body}"),
    st.tuples(letters(12, 40, URLSAFE), letters(12, 90, URLSAFE), letters(20, 43, URLSAFE)).map(
        lambda t: f"eyJ{t[0]}.eyJ{t[1]}.{t[2]}"
    ),
    PEM_BODY.map(
        lambda body: f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    ),
)
AROUND = st.text("ab .,;:()[]{}'\"=\n\t#", max_size=20).filter(lambda t: not t[-1:].isalnum())


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_process", None)
    yield
    monkeypatch.setattr(module, "_process", None)


def core_of(secret: str) -> str:
    """A piece in the middle that nothing else can hold by chance."""
    middle = len(secret) // 2
    return secret[middle - 5 : middle + 5]


@given(SHAPED, AROUND, AROUND)
def test_a_known_shape_is_found_wherever_it_stands(secret: str, before: str, after: str) -> None:
    assume(not after[:1].isalnum())
    for text in (
        f"{before}{secret}{after}",
        json.dumps({"text": f"{before}\n{secret}{after}"}),
        json.dumps(json.dumps({"text": f"\t{secret}\u2028"})),
    ):
        found = PLAIN.text(text)
        assert "[redacted: " in found
        assert core_of(secret) not in found
        assert PLAIN.text(found) == found
    assert json.loads(PLAIN.text(json.dumps([f"{before}{secret}"])))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: Bearer [redacted"),
        ('{"authorization": "Basic dXNlcjpwYXNzd29yZA=="}', '"Basic [redacted'),
        ("x-api-key: 0123456789abcdef0123", "x-api-key: [redacted"),
        ("postgres://joe:hunter22@db.internal/x", "postgres://[redacted: password]@db.internal/x"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "KEY=[redacted"),
    ],
)
def test_what_stands_in_front_stays(text: str, kept: str) -> None:
    assert kept in PLAIN.text(text)


@given(
    st.one_of(
        st.binary(min_size=20, max_size=20).map(bytes.hex),
        st.binary(min_size=32, max_size=32).map(bytes.hex),
        st.uuids().map(str),
        st.binary(min_size=1, max_size=400).map(lambda data: base64.b64encode(data).decode()),
        st.binary(min_size=1, max_size=400).map(lambda d: base64.urlsafe_b64encode(d).decode()),
        st.integers().map(str),
        st.floats().map(repr),
        st.text(max_size=200),
    )
)
def test_hashes_ids_data_and_words_stay(text: str) -> None:
    assert PLAIN.text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "class sk-fading-circle-delay-12 and task-scheduler-configuration-2024",
        "sk-learn, hf_transformer_model_with_a_long_name_indeed, ghp_short, AKIA, eyJ",
        "-----BEGIN PRIVATE KEY----- is how it begins",
        "see http://host:8080/path@2 and git@github.com:owner/name.git",
        "${SCHEME}://${USER}:${PASSWORD}@host, redis://user:<password>@host",
        "authorization = make_authorization_header(request)",
        "attempt 12 of run circle_packing-20260101-120000-ab12",
    ],
)
def test_what_looks_a_little_like_one_stays(text: str) -> None:
    assert PLAIN.text(text) == text


def test_the_standard_library_and_our_own_pages_stay() -> None:
    """Apart from the examples of passwords in addresses that the library's docstrings give."""
    library = Path(sysconfig.get_path("stdlib"))
    files = [*library.glob("*.py"), *library.glob("[a-h]*/*.py"), *ROOT.glob("docs/*.md")]
    changed: list[str] = []
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        if (found := PLAIN.text(text)) != text:
            lines = zip(text.split("\n"), found.split("\n"), strict=True)
            changed += [f"{file.name}: {old}" for old, new in lines if old != new]
    assert len(files) > 200
    assert [each for each in changed if "://" not in each or "@" not in each] == []
    assert len(changed) <= 5, changed


SECRET_VALUES = st.tuples(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=8, max_size=50),
    st.sampled_from(["", " ", '"', "\\", "'", "/"]),
).map(lambda parts: f"k{parts[1]}7{parts[0]}")


@given(SECRET_VALUES, st.text(max_size=30), st.text(max_size=30))
def test_a_value_is_found_however_it_is_written(value: str, before: str, after: str) -> None:
    one = Redactor({value: "MY_KEY"})
    text = before + value + after
    for written in (text, json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert value not in one.text(written)
        assert json.dumps(value)[1:-1] not in one.text(written)
    assert "[redacted: MY_KEY]" in one.values(json.dumps(json.dumps([value])))


@given(
    st.lists(st.one_of(SHAPED, AROUND, st.just("my-own-secret-7777")), min_size=1, max_size=6),
    st.data(),
)
def test_a_stream_may_be_cut_anywhere(parts: list[str], data: st.DataObject) -> None:
    one = Redactor({"my-own-secret-7777": "MY_KEY"})
    text = "\n".join(parts)
    stream = RedactedStream(lambda: one)
    out, rest = "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        out += stream.feed(rest[:size])
        rest = rest[size:]
    out += stream.close()
    assert out == one.text(text)


def test_a_stream_holds_no_more_than_it_may() -> None:
    stream = RedactedStream(lambda: PLAIN)
    out = stream.feed("-----BEGIN PRIVATE KEY-----\n" + "A" * 100 + "\n")
    assert out == stream.flush() == ""
    for _ in range(40):
        out += stream.feed("words that are no key\n" * 100)
    assert out.count("words") > 500
    assert len(RedactedStream(lambda: PLAIN).feed("x" * (module.MAX_HELD_CHARACTERS + 1))) > 0


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("OPENAI_API_KEY", "sk-x1234567", True),
        ("AWS_ACCESS_KEY_ID", "something1", True),
        ("MY_SECRET", "correcthorsebattery", True),
        ("DB_PASSWORD", "hunter2222", True),
        ("DB_PASSWORD", "postgres", False),
        ("DB_PASSWORD", "short1", False),
        ("PIN_TOKEN", "12345678", False),
        ("SSH_KEY", "/", False),
        ("TLS_KEY", str(Path(__file__)), False),
        ("TLS_KEY", "/9j4AAQSkZJRgABAQAAAQ", True),
        ("MAX_TOKENS", "correcthorsebattery1", False),
        ("KEYBOARD", "correcthorsebattery1", False),
        ("HARNESS_AGENT__MODEL__KEY_VARIABLE", "MY_MODEL_KEY_NUMBER_2", False),
    ],
)
def test_which_variables_hold_secrets(name: str, value: str, *, found: bool) -> None:
    assert (secrets_of({name: value}) == {value: name}) == found


def test_a_key_is_protected_whatever_its_name() -> None:
    assert redact("a-key-of-1-endpoint") == "a-key-of-1-endpoint"
    protect("a-key-of-1-endpoint", "NAME")
    protect("EMPTY", "OTHER")
    assert redact("a-key-of-1-endpoint EMPTY") == "[redacted: NAME] EMPTY"


def test_invisible_characters_hide_none() -> None:
    protect("a-key-of-1-endpoint", "NAME")
    assert visible("a-key\u200b-of-1\x1b[0m-endpoint") == "[redacted: NAME]"


def test_a_database_gets_none() -> None:
    protect("a-key-of-1-endpoint", "NAME")
    db = sqlite3.connect(":memory:", factory=RedactingConnection)
    db.execute("CREATE TABLE t (a TEXT, b BLOB, c REAL)")
    db.execute("INSERT INTO t VALUES (?, ?, ?)", ("a-key-of-1-endpoint", b"\xff", 1.5))
    db.execute("INSERT INTO t VALUES (:a, NULL, NULL)", {"a": "x a-key-of-1-endpoint"})
    db.executemany("INSERT INTO t (a) VALUES (?)", (("a-key-of-1-endpoint",) for _ in range(2)))
    found = [row[0] for row in db.execute("SELECT a FROM t")]
    assert found == ["[redacted: NAME]", "x [redacted: NAME]", *["[redacted: NAME]"] * 2]
    assert db.execute("SELECT b, c FROM t").fetchone() == (b"\xff", 1.5)


def test_what_a_process_prints(tmp_path: Path) -> None:
    """Errors that nobody catches, words without an end, a key in several writes."""
    secret = f"k-{uuid.uuid4().hex}"
    program = (
        "import sys, os\nfrom harness.cli.streams import keep_secrets\n"
        "keep_secrets(stdout=True)\nkey = os.environ['ANY_API_KEY']\n"
        "print('a', key[:9], end='')\nprint(key, file=sys.stderr)\n"
        "for c in f'[{key}]': sys.stdout.write(c)\nprint(end='', flush=True)\n"
        "print(sys.stdout.fileno(), sys.stdout.isatty())\nprint(key, end='')\n"
        "raise ValueError(key)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"ANY_API_KEY": secret},
        capture_output=True,
        text=True,
        check=False,
    )
    assert secret not in done.stdout + done.stderr
    assert done.stdout == f"a {secret[:9]}[[redacted: ANY_API_KEY]]1 False\n[redacted: ANY_API_KEY]"
    assert "ValueError: [redacted: ANY_API_KEY]" in done.stderr
