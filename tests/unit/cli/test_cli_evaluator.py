"""What `harness evaluator serve` refuses before anything listens, each in three lines."""

import pytest

from harness.cli.main import EXIT_USER, run

GOOD_TOKEN = "sixteen-or-more-characters"


@pytest.mark.parametrize(
    ("arguments", "wrong", "action"),
    [
        (["--evals", "0"], "--evals is 0", "correct --evals"),
        (["--port", "-1"], "--port is -1", "correct --port"),
        (["--port", "65536"], "--port is 65536", "correct --port"),
        (["--failed-score", "nan"], "--failed-score is nan", "correct --failed-score"),
        (["--failed-score", "-inf"], "--failed-score is -inf", "correct --failed-score"),
        (["--token", ""], "the token is too short", "leave out --token"),
        (["--token", "too short"], "the token is too short", "leave out --token"),
        (["--token", "a token with blanks in it"], "characters that no header", "leave out"),
        (["--token", "täglich-sechzehn-zeichen"], "characters that no header", "leave out"),
        (["--sandbox", "process"], "does not isolate code that a model writes", "--unsafe"),
        (
            ["--sandbox", "process", "--unsafe", "--host", "192.0.2.1"],
            "nothing can listen at 192.0.2.1",
            "leave out --host",
        ),
    ],
)
def test_flags_that_cannot_be(
    arguments: list[str], wrong: str, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluator", "serve", "circle_packing", *arguments]) == EXIT_USER
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()[-3:]
    assert lines[0].startswith("error: ")
    assert wrong in lines[0]
    assert lines[1].startswith("  expected: ")
    assert lines[2].startswith("  to do: ")
    assert action in lines[2]
    assert said.out == ""


def test_a_token_of_the_environment_is_held_to_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_EVALUATOR_TOKEN", "short")
    assert run(["evaluator", "serve", "circle_packing"]) == EXIT_USER
    assert "the token is too short" in capsys.readouterr().err


def test_a_task_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluator", "serve", "no_such_task", "--token", GOOD_TOKEN]) == EXIT_USER
    assert "no_such_task" in capsys.readouterr().err
