"""What errors of endpoints mean, in the words of real ones."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agents.refusals import Refusal, retry_after, understand

SENT: dict[str, Any] = {
    "messages": [],
    "tools": [{}],
    "temperature": 0.5,
    "max_tokens": 8,
    "reasoning_effort": "low",
}


@pytest.mark.parametrize(
    ("status", "error", "limit", "requested"),
    [
        (400, {"code": "context_length_exceeded", "message": "too much"}, None, None),
        (
            400,
            "This model's maximum context length is 16384 tokens. However, you requested 122946",
            16384,
            122946,
        ),
        (
            400,
            "max_tokens: 9. This model's maximum context length is 1000 tokens, it has 203 tokens",
            1000,
            203,
        ),
        (
            400,
            "The input (4097 tokens) is longer than the model's context length (4096 tokens).",
            4096,
            4097,
        ),
        (
            500,
            {
                "code": 500,
                "type": "exceed_context_size_error",
                "message": "the request exceeds the available context size. try increasing it",
                "n_prompt_tokens": 1407,
                "n_ctx": 256,
            },
            256,
            1407,
        ),
        (
            400,
            "request (14429 tokens) exceeds the available context size (8192 tokens)",
            8192,
            14429,
        ),
        (400, "Requested tokens (2285) exceed context window of 2048", 2048, 2285),
        (400, "prompt is too long: 210,000 tokens > 200,000 maximum", 200_000, 210_000),
        (
            400,
            "input token count (1200000) exceeds the maximum number of tokens allowed (1048576)",
            1_048_576,
            1_200_000,
        ),
        (
            422,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193.",
            8193,
            None,
        ),
        (413, "Request too large: tokens per minute: Limit 6000, Requested 7012", 6000, 7012),
        (429, "Request too large for gpt-4o: Limit 30000, Requested 32120", 30_000, 32_120),
        (413, "<html>Request Entity Too Large</html>", None, None),
    ],
)
def test_a_request_that_does_not_fit(
    status: int, error: object, limit: int | None, requested: int | None
) -> None:
    problem = understand(status, {"error": error}, SENT)
    assert problem.refusal is Refusal.TOO_LONG
    assert (problem.limit, problem.requested) == (limit, requested)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"message": '"auto" tool choice requires --enable-auto-tool-choice'}),
        (400, {"error": {"message": "library/gemma3:4b does not support tools", "code": None}}),
        (400, {"error": "stablelm2 does not support tools"}),
        (500, {"error": {"message": "tools param requires --jinja flag", "code": 500}}),
        (500, {"error": {"message": "Unsupported param: tools", "code": 500}}),
        (404, {"error": {"message": "No endpoints found that support tool use."}}),
        (404, {"error": {"message": "No endpoints found that support the 'tool_choice' value."}}),
        (422, {"detail": "Extra inputs are not permitted: 'tools'"}),
        (501, {"error": {"message": "Function calling is not implemented"}}),
        (400, {"error": {"message": "Conversation roles must alternate user/assistant"}}),
    ],
)
def test_a_model_that_cannot_call_tools(status: int, body: object) -> None:
    assert understand(status, body, SENT).refusal is Refusal.NO_TOOLS
    without = {key: value for key, value in SENT.items() if key != "tools"}
    assert understand(status, body, without).refusal in (Refusal.FINAL, Refusal.FAILED)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid schema for function 'bash': 'x' is not supported",
        "An assistant message with 'tool_calls' must be followed by tool messages",
        "The model `tools-13b` does not exist",
        "no",
    ],
)
def test_errors_that_only_speak_of_tools_are_final(message: str) -> None:
    assert understand(400, {"error": {"message": message}}, SENT).refusal is Refusal.FINAL


@pytest.mark.parametrize(
    ("message", "parameter"),
    [
        ("Unsupported value: 'temperature' does not support 0.1 with this model.", "temperature"),
        ("gpt-5 models don't support temperature=0.5. Only temperature=1 is.", "temperature"),
        ("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"),
        ("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort"),
        ('"llama3.2" does not support thinking', "reasoning_effort"),
    ],
)
def test_a_parameter_that_is_not_taken(message: str, parameter: str) -> None:
    problem = understand(400, {"error": {"message": message}}, SENT)
    assert (problem.refusal, problem.parameter) == (Refusal.PARAMETER, parameter)
    other = understand(400, {"error": {"message": message}}, {"messages": []})
    assert other.refusal is Refusal.FINAL, "what was not sent cannot be left out"


def test_a_limit_that_is_too_high_is_for_the_user() -> None:
    message = "max_tokens is too large: 8192. This model supports at most 4096 completion tokens"
    assert understand(400, {"error": {"message": message}}, SENT).refusal is Refusal.FINAL


def test_the_rest_goes_by_the_status() -> None:
    expected = {
        429: Refusal.BUSY,
        500: Refusal.FAILED,
        503: Refusal.FAILED,
        529: Refusal.FAILED,
        408: Refusal.AGAIN,
        409: Refusal.AGAIN,
        401: Refusal.FINAL,
        404: Refusal.FINAL,
    }
    for status, refusal in expected.items():
        assert understand(status, None, SENT).refusal is refusal
    quota = {"error": {"code": "insufficient_quota", "message": "pay"}}
    assert understand(429, quota, SENT).refusal is Refusal.QUOTA
    system = {"error": {"message": "System role not supported"}}
    assert understand(400, system, {}).refusal is Refusal.NO_SYSTEM


ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
KEYS = st.sampled_from(["error", "message", "code", "type", "param", "detail", "n_ctx"])
ERRORS = st.dictionaries(KEYS, ODD | st.lists(ODD, max_size=2), max_size=4)


@given(st.integers(400, 599), ODD | ERRORS | st.dictionaries(KEYS, ERRORS, max_size=2))
def test_no_error_can_break_it(status: int, body: object) -> None:
    assert understand(status, body, SENT).status == status


def test_retry_after_in_all_its_forms() -> None:
    assert retry_after({}, 0.0) is None
    assert retry_after({"retry-after": "2.5"}, 0.0) == 2.5
    assert retry_after({"retry-after-ms": "300", "retry-after": "1"}, 0.0) == 0.3
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 20.0) == 40.0
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 90.0) == 0.0
    assert retry_after({"retry-after": "soon"}, 0.0) is None
