"""Plans, reviews and findings as models write them: tolerant of form, strict about what is meant.

Weak models bend every format a little: labels get bold, a list gets numbers, a thought comes first.
That is read. What says nothing is not: the caller sends it back.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.agents.pipeline.parts import AnswerError, find_path, has_blocks, without_blocks
from harness.agents.text import clip, one_line

TITLE_CHARACTERS = 120
_PLAN_CHARACTERS = 6_000
_PROBLEM_CHARACTERS = 3_000
_FINDING_CHARACTERS = 1_200
_PLANNED_FILES = 12

_TAGS = "(?:think|thinking|reasoning)"
_THOUGHT = re.compile(rf"<{_TAGS}>.*?</{_TAGS}>", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(rf"\A.*</{_TAGS}>", re.DOTALL | re.IGNORECASE)
_THOUGHT_START = re.compile(rf"<{_TAGS}>.*\Z", re.DOTALL | re.IGNORECASE)

_MARKUP = "*_#`> \t"
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+(.*)$")
_FILES = re.compile(r"^\W*files?\b(?:[^:\n]{0,40}[:\uff1a]\W*(.*)|\W*)$", re.IGNORECASE)
_FIX = ("fix", "not ok", "not okay", "reject", "rejected", "problems", "problem")
_FINE = ("ok", "okay", "lgtm", "approve", "approved", "looks good", "no problems", "no problem")
_VERDICT = re.compile(
    rf"\W*(?:verdict\W+)?({'|'.join(sorted((*_FIX, *_FINE), key=len, reverse=True))})\b",
    re.IGNORECASE,
)

_FINDING = re.compile(r"^\W*finding\W*[:\uff1a]([\s\S]*)\Z", re.IGNORECASE | re.MULTILINE)
_REPORTED = re.compile(
    r"^\W*reported\W*[:\uff1a]\W*?([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)\b",
    re.IGNORECASE | re.MULTILINE,
)
_NO_ANSWER = "(no answer)"
"""What the client puts in the place of an answer without content."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that a plan writes or changes, and what for."""

    path: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as it was read; `text` is all of it."""

    title: str
    text: str
    files: tuple[PlannedFile, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """What a reviewer says: fine, or what is wrong. `problems` leaves out its blocks."""

    ok: bool
    problems: str


def spoken(text: str) -> str:
    """`text` without what a reasoning model thought aloud; empty when it only thought."""
    if text.strip() == _NO_ANSWER:
        return ""
    text = _THOUGHT.sub("", text.replace("\r\n", "\n"))
    text = _THOUGHT_END.sub("", text)
    return _THOUGHT_START.sub("", text).strip()


def parse_plan(text: str) -> Plan:
    """A plan with its title and its files.

    Raises:
        AnswerError: No `Title:` or no `Files:` with a path.
    """
    plan = loose_plan(text)
    if plan is None or not _after(text, "title"):
        raise AnswerError("there is no `Title:` line")
    if not plan.files:
        raise AnswerError("there is no `Files:` list with a path in each line")
    return plan


def loose_plan(text: str) -> Plan | None:
    """A plan made of whatever was said; None when nothing was."""
    lines = [line.strip(_MARKUP) for line in text.splitlines()]
    first = next((line for line in lines if any(map(str.isalnum, line))), "")
    if not first:
        return None
    title = one_line(_after(text, "title") or first, limit=TITLE_CHARACTERS)
    return Plan(title, clip(text, _PLAN_CHARACTERS), tuple(_planned_files(text))[:_PLANNED_FILES])


def _after(text: str, label: str) -> str:
    """What follows `label:` on its line or, when nothing does, on the next that is not blank."""
    found = re.search(rf"^\W*{label}\W*[:\uff1a](.*)$", text, re.IGNORECASE | re.MULTILINE)
    if found is None:
        return ""
    following = [found[1], *text[found.end() :].splitlines()]
    return next((bare for line in following if (bare := line.strip(_MARKUP))), "")


def _planned_files(text: str) -> Iterator[PlannedFile]:
    lines = iter(text.splitlines())
    for line in lines:
        found = _FILES.match(line)
        if found is None:
            continue
        seen: set[str] = set()
        for entry in [*(found[1] or "").split(","), *_entries(lines)]:
            entry = entry.strip().lstrip("*_`")
            path = find_path(entry)
            if path and path not in seen:
                seen.add(path)
                yield PlannedFile(path, _purpose(entry[len(path) :]))
        if seen:
            return


def _purpose(text: str) -> str:
    purpose = text.lstrip("*_`:-–—( \t").rstrip("*_ \t")
    if purpose.count(")") > purpose.count("("):
        purpose = purpose.removesuffix(")")
    return one_line(purpose, limit=300)


def _entries(lines: Iterator[str]) -> Iterator[str]:
    """The entries of a list, up to the first line that belongs to something else."""
    for line in lines:
        bullet = _BULLET.match(line)
        if bullet:
            yield bullet[1]
        elif line.strip() and not line.startswith((" ", "\t")):
            if not find_path(line.lstrip("*_`")):
                return
            yield line


def parse_review(text: str) -> Review:
    """A reviewer's verdict.

    Raises:
        AnswerError: It does not say `OK` or `FIX`, or asks for a change without saying which.
    """
    blocks = has_blocks(text)
    lines = [line for line in text.splitlines() if line.strip()]
    stated = _after(text, "verdict") or (lines[0] if lines else "")
    found = _VERDICT.match(stated)
    if found is None and not blocks:
        raise AnswerError("there is no `Verdict: OK` or `Verdict: FIX` line")
    if found is not None and found[1].lower() in _FINE and not blocks:
        return Review(ok=True, problems="")
    problems = clip(without_blocks(text), _PROBLEM_CHARACTERS).strip()
    words = re.sub(r"\W*(?:verdict|fix|not ok(?:ay)?|reject(?:ed)?)\b", "", problems, flags=re.I)
    if not blocks and not any(map(str.isalnum, words)):
        raise AnswerError("the verdict is FIX, but nothing says what is wrong")
    return Review(ok=False, problems=problems)


def parse_reported(text: str) -> float | None:
    """The score that a program printed of its own validation, as a model reads it; None without."""
    found = _REPORTED.search(text)
    return float(found[1]) if found else None


def parse_finding(text: str) -> str:
    """What was learnt, in a few sentences.

    Raises:
        AnswerError: Neither a `Finding:` nor a short answer.
    """
    found = re.search(
        r"^\W*finding\W*[:\uff1a](.*)\Z", text, re.IGNORECASE | re.MULTILINE | re.DOTALL
    )
    said = (found[1] if found else text).strip().strip("*").strip()
    if not any(map(str.isalnum, said)):
        raise AnswerError("there is no `Finding:` line")
    if found is None and len(said) > _FINDING_CHARACTERS:
        raise AnswerError("there is no `Finding:` line, and the answer is too long to be one")
    return clip(said, _FINDING_CHARACTERS)
