"""Secrets are taken out, and nothing else is."""

import json
import re
import sqlite3
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.redact import RedactingConnection, Redactor, redact

WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def letters(size: int, alphabet: str = WORD) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=size, max_size=size)


def prefixed(prefix: str, size: int, alphabet: str = WORD) -> st.SearchStrategy[str]:
    return letters(size, alphabet).map(lambda rest: prefix + rest)


UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SECRETS = st.one_of(
    prefixed("sk-proj-7", 40),
    prefixed("sk-ant-api03-", 60),
    prefixed("AKIA", 16, UPPER),
    prefixed("ghp_", 36),
    prefixed("github_pat_", 60),
    prefixed("glpat-", 20),
    prefixed("hf_", 34),
    prefixed("npm_", 36),
    prefixed("xoxb-", 24),
    prefixed("AIza", 35),
    st.tuples(letters(20), letters(30), letters(20)).map(lambda p: f"eyJ{p[0]}.eyJ{p[1]}.{p[2]}"),
    letters(64).map(
        lambda body: f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    ),
)
AROUND = st.sampled_from(("", " ", "\n", "key=", '"', "'", "(", "Bearer ", ": "))


@given(SECRETS, AROUND, st.text(max_size=20))
def test_forms_of_keys_are_taken_out(secret: str, before: str, after: str) -> None:
    after = "" if after[:1].isalnum() else after
    cleaned = Redactor()(f"{before}{secret} {after}")
    core = max(re.split(r"[-\s]", secret), key=len)
    assert core not in cleaned
    assert "[redacted" in cleaned
    assert Redactor()(cleaned) == cleaned
    # Also as JSON holds it.
    assert core not in Redactor()(json.dumps({"said": f"{before}{secret}"}))


@given(letters(24), st.text(max_size=30), st.text(max_size=30))
def test_values_of_the_environment_are_taken_out(value: str, before: str, after: str) -> None:
    redactor = Redactor({"MY_API_KEY": f"{value}1a"})
    assert f"{value}1a" not in redactor(f"{before}{value}1a{after}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSH_KEY", "/root/.ssh/id_rsa"),
        ("TOKEN", "true"),
        ("MONKEY", "short"),
        ("PASSWORD", "circlepacking"),
        ("SECRET_KEY", "1234567890"),
        ("HOME", "a8f7s6d5f4a3s2d1"),
        ("API_KEY", "https://vault.example/key"),
    ],
)
def test_words_and_paths_of_the_environment_stay(name: str, value: str) -> None:
    assert Redactor({name: value})(f"see {value}.") == f"see {value}."


def test_what_is_learnt_is_taken_out() -> None:
    redactor = Redactor()
    redactor.learn("model key", "correct-horse-battery")
    redactor.learn("longer", "correct-horse-battery-staple")
    redactor.learn("model key", "none")
    text = redactor("none correct-horse-battery-staple correct-horse-battery")
    assert text == "none [redacted: longer] [redacted: model key]"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("https://me:hunter2@host/x", "https://me:[redacted: password]@host/x"),
        ("http://127.0.0.1:8080/v1", None),
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: Bearer [redacted: token]"),
        ("Bearer of bad news", None),
        ("class='sk-toggleable__content-arrow'", None),
        ("sk-fading-circle-delay-12", None),
        ("sk-learn-pipelines-version-1-2-notes", None),
        ("redis://user:<password>@host", None),
        ("redis://user:${PASSWORD}@host", None),
        ("task-1234567890123456789012345", None),
        (
            "Authorization: Basic dXNlcjpwYXNzd29yZA==",
            "Authorization: Basic [redacted: credentials]",
        ),
        ('{"x-api-key": "0123456789abcdef-x"}', '{"x-api-key": "[redacted: key]"}'),
        (
            "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "aws_secret_access_key = [redacted: AWS key]",
        ),
        ("a1b2c3d4e5f60718293a4b5c6d7e8f9001122334", None),
        ("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", None),
    ],
)
def test_examples(text: str, cleaned: str | None) -> None:
    assert Redactor()(text) == (text if cleaned is None else cleaned)


def test_ordinary_code_and_prose_stay() -> None:
    """The standard library, and this project's own pages."""
    folders = (Path(sysconfig.get_path("stdlib")), Path(__file__).parents[2] / "docs")
    files = [path for folder in folders for path in sorted(folder.glob("*.[pm][yd]"))]
    assert len(files) > 150
    redactor = Redactor()
    for path in files:
        text = path.read_text("utf-8", "replace")
        changed = redactor(text)
        if changed != text:  # examples of passwords in URLs, none of anything else
            kinds = set(re.findall(r"\[redacted: ([\w ]+)\]", changed))
            assert kinds == {"password"}, path


@given(st.text(max_size=40), SECRETS, st.text(max_size=40))
def test_a_line_of_json_stays_one(before: str, secret: str, after: str) -> None:
    cut = secret[: len(secret) // 2 + 20]
    for text in (before + secret + after, before + cut + '"' + after, before + cut):
        line = json.dumps({"said": text, "n": [1]}, ensure_ascii=False)
        assert json.loads(Redactor()(line))["n"] == [1]


def test_values_with_quotes_are_found_in_json() -> None:
    redactor = Redactor({"API_KEY": 'a"b\\c1234'})
    once = json.dumps({"x": 'a"b\\c1234'})
    assert "1234" not in redactor(once)
    assert "1234" not in redactor(json.dumps({"arguments": once}))


@pytest.mark.parametrize("many", [False, True])
def test_a_connection_writes_no_secret(tmp_path: Path, many: bool) -> None:
    redact.learn("canary", "canary-5f2b8c17")
    text = "it is canary-5f2b8c17"
    with sqlite3.connect(tmp_path / "x.db", factory=RedactingConnection) as db:
        db.execute("CREATE TABLE t (a TEXT, b BLOB, c REAL)")
        write: Callable[..., object] = db.executemany if many else db.execute
        row = (text, b"bytes", 1.5)
        write("INSERT INTO t VALUES (?, ?, ?)", [row] if many else row)
        db.execute("INSERT INTO t VALUES (:a, NULL, NULL)", {"a": text})
        found = db.execute("SELECT a, b, c FROM t").fetchall()
    assert found == [
        ("it is [redacted: canary]", b"bytes", 1.5),
        ("it is [redacted: canary]", None, None),
    ]
