"""What an endpoint's error means, told from its status, its code and its words.

There is no standard for any of it: the same mistake has another status, code and wording with
OpenAI, vLLM, llama.cpp, Ollama, and each gateway. What is told apart here is what the harness can
do something about; everything else is a refusal that a person reads.
"""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from harness.agents.addresses import URL_VARIABLE
from harness.agents.config import ModelConfig
from harness.errors import ModelRefusedError

_RETRIED = frozenset({408, 409, 425})
_DROPPABLE = ("temperature", "reasoning_effort", "stream_options")
"""Parameters that the harness can do without."""
LIMIT_FIELDS = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}
"""The two names of the length limit: newer models know one, many servers only the other."""


class TryAgainError(Exception):
    """This try failed; another may do better.

    `wait_s` is what the server asked for; it holds for all callers, so the gate sees to it.
    `counted`: how much it takes of the tries the configuration allows.
    """

    def __init__(self, reason: str, wait_s: float | None = None, *, counted: float = 1.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.counted = counted


class LearnedError(Exception):
    """The request was refused, and why is something the next one can do without."""


class Refusal(Enum):
    """What an error means for the next step."""

    BUSY = "busy"
    """Fewer calls, or later."""
    FAILED = "failed"
    """The server failed; it may not the next time."""
    AGAIN = "again"
    """Try again."""
    TOO_LONG = "too long"
    """The request does not fit: shorten it."""
    NO_TOOLS = "no tools"
    """It cannot call tools: describe them in the text."""
    NO_SYSTEM = "no system"
    """It takes no system message: put it into the first message of the user."""
    PARAMETER = "parameter"
    """It does not take a parameter: leave it out, or use its other name."""
    QUOTA = "quota"
    """Paid for or used up; waiting does not help."""
    FINAL = "final"
    """For a person."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An endpoint's error, understood."""

    refusal: Refusal
    status: int
    message: str
    parameter: str = ""
    """Of PARAMETER: which one."""
    limit: int | None = None
    """Of TOO_LONG: tokens that fit, where it says so."""
    requested: int | None = None
    """Of TOO_LONG: tokens it counted, where it says so."""


_READ_CHARACTERS = 4000
_NUMBER = r"(\d[\d,_]*)"
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_TOO_LONG = re.compile(
    r"maximum context length"
    r"|context[ _]length[ _]exceeded"
    r"|exceeds? the available context"
    r"|(?:exceed\w*|longer than|larger than|beyond|too large for|over)\b.{0,60}"
    r"\bcontext[ _]?(?:window|size|length|limit)"
    r"|context[ _]?(?:window|size|length|limit)\b.{0,40}\b(?:exceeded|too small)"
    r"|(?:prompt|input|request|messages?)\b.{0,40}\b(?:is|are) too (?:long|large)\b"
    r"|input token count.{0,40}exceeds"
    r"|request too large"
    r"|must have less than \d+ tokens"
    r"|max_new_tokens` must be <="
    r"|reduce the length of the (?:input )?(?:messages|prompt)",
    re.IGNORECASE | re.DOTALL,
)
_LIMITS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"maximum context length (?:is|of) (?:only )?{_NUMBER}",
        rf"{_NUMBER} maximum context length",
        rf"> {_NUMBER} maximum",
        rf"maximum number of tokens allowed \(?{_NUMBER}",
        rf"context[ _](?:window|size|length|limit)(?: is| of)?[ (:=]*{_NUMBER}",
        rf"must be <= {_NUMBER}",
        rf"less than {_NUMBER} tokens",
        rf"\bLimit:? {_NUMBER}",
    )
)
_REQUESTED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\brequested:? {_NUMBER}",
        rf"resulted in {_NUMBER} tokens",
        rf"\b(?:has|contains|contained|request:?) \(?{_NUMBER} (?:input )?tokens",
        rf"too long: {_NUMBER}",
        rf"token count \(?{_NUMBER}",
        rf"(?:tokens|input|request|prompt) \({_NUMBER}(?: tokens)?\)",
    )
)
_TOOLS = re.compile(
    r"\btools?\b|\btool[ _-](?:choice|calls?|calling|use)\b|\bfunctions?[ _-]call(?:s|ing)?\b"
    r"|['\"`]functions?['\"`]",
    re.IGNORECASE,
)
_NOT_TAKEN = re.compile(
    r"not (?:be )?(?:currently )?(?:support|allow|permit|enabl|recogni|implement|available)"
    r"|n't support|unsupport|no endpoints|requires? --|requires? the|unknown|unrecogni|unexpected"
    r"|extra (?:inputs|fields)|invalid (?:parameter|field|argument)|only the default",
    re.IGNORECASE,
)
_OUR_MISTAKE = re.compile(
    r"invalid schema|tool_call_id|must be (?:a response|followed)|preceding|preceeding",
    re.IGNORECASE,
)
"""Errors that speak of tools but not of whether there are any."""
_NO_TOOL_ROLE = re.compile(r"roles must alternate|unknown role|invalid role", re.IGNORECASE)
"""What a chat template says that knows no results of tools: the text protocol has none."""
_NO_SYSTEM = re.compile(r"system (?:role|message|prompt)s?\b.{0,20}\bnot supported", re.IGNORECASE)


def understand(status: int, body: object, sent: Mapping[str, Any], fallback: str = "") -> Problem:
    """What an error answer means.

    Args:
        status: The HTTP status, or the one inside the body where that was sent with 200.
        body: The error object of the answer, if it has one.
        sent: The request: only what it contains can be what is refused.
        fallback: What to show where the body says nothing.
    """
    error = _error(body)
    message = str(error.get("message") or fallback or f"status {status}")[:_READ_CHARACTERS]
    codes = {str(error.get("code")), str(error.get("type"))}
    if status == 429 and "insufficient_quota" in codes:
        return Problem(Refusal.QUOTA, status, message)
    if _too_long(status, codes, message):
        return Problem(
            Refusal.TOO_LONG,
            status,
            message,
            limit=_first(_LIMITS, message) or _count(error.get("n_ctx")),
            requested=_first(_REQUESTED, message) or _count(error.get("n_prompt_tokens")),
        )
    if status in (400, 404, 405, 422, 500, 501):
        named = _named(error, message, sent)
        if named is not None:
            refusal, parameter = named
            return Problem(refusal, status, message, parameter=parameter)
    if status == 429:
        return Problem(Refusal.BUSY, status, message)
    if status >= 500:
        return Problem(Refusal.FAILED, status, message)
    if status in _RETRIED:
        return Problem(Refusal.AGAIN, status, message)
    return Problem(Refusal.FINAL, status, message)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` (or `retry-after-ms`) asks to wait; None without one."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) * unit_s)
        except ValueError:
            pass
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
        except ValueError:
            return None
    return None


def _error(body: object) -> Mapping[str, Any]:
    """The error object: itself, under `error`, or a text under `error`, `message` or `detail`."""
    if not isinstance(body, dict):
        return {"message": body} if isinstance(body, str) else {}
    given = cast("dict[str, Any]", body)
    inner: object = given.get("error")
    if isinstance(inner, dict):
        return cast("dict[str, Any]", inner)
    if isinstance(inner, str):
        return {**given, "message": inner}
    if "message" not in given and given.get("detail"):
        return {**given, "message": given["detail"]}
    return given


def _too_long(status: int, codes: set[str], message: str) -> bool:
    if codes & _TOO_LONG_CODES:
        return True
    if status == 429:  # too much for a minute's allowance even when nobody else asks
        return "request too large" in message.lower()
    # A proxy may cut off a large body with a page of its own: 413 means it in any case.
    return status == 413 or (status in (400, 422, 500) and bool(_TOO_LONG.search(message)))


def _named(
    error: Mapping[str, Any], message: str, sent: Mapping[str, Any]
) -> tuple[Refusal, str] | None:
    """Which part of the request is not taken, if the error names one."""
    parameter = str(error.get("param") or "").partition(".")[0]
    not_taken = bool(_NOT_TAKEN.search(message))
    for name in (*_DROPPABLE, *LIMIT_FIELDS):
        if name in sent and not_taken and (name == parameter or _mentions(message, name)):
            return Refusal.PARAMETER, name
    if "tools" in sent and not _OUR_MISTAKE.search(message):
        about_tools = parameter in ("tools", "tool_choice", "functions")
        if not_taken and (about_tools or _TOOLS.search(message)):
            return Refusal.NO_TOOLS, "tools"
        if _NO_TOOL_ROLE.search(message):
            return Refusal.NO_TOOLS, "tools"
    if _NO_SYSTEM.search(message):
        return Refusal.NO_SYSTEM, "system"
    return None


def _mentions(message: str, name: str) -> bool:
    if name == "reasoning_effort" and "support thinking" in message:
        return True  # Ollama's word for it
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", message) is not None


def _first(patterns: tuple[re.Pattern[str], ...], message: str) -> int | None:
    for pattern in patterns:
        if found := pattern.search(message):
            return int(re.sub(r"\D", "", found[1]))
    return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def refused(problem: Problem, url: str, message: str, model: ModelConfig) -> ModelRefusedError:
    """The error for a person: what the endpoint said, and what to check."""
    name, variable = model.name, model.key_variable
    check = {
        401: f"check the key in {variable}",
        403: f"check that the key in {variable} may use the model {name!r}",
        404: f"check the model name {name!r} and the address ({URL_VARIABLE})",
        429: "check the account's quota",
    }.get(problem.status, "check agent.model and what the model takes")
    if problem.refusal is Refusal.NO_TOOLS:
        check = f"{name!r} cannot call tools: set agent.model.protocol to auto or text"
    return ModelRefusedError(
        f"the model endpoint {url} refuses ({problem.status}): {message}; {check}"
    )
