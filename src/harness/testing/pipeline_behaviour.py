"""A behaviour of the scripted endpoint for the `pipeline` agent: answers in text only.

A function of the request alone. It scales the last column of literal tables of numbers in the files
that it is shown; where there are none, it adds a comment, so that every directive has a change.
"""

import re
import zlib

from harness.testing.endpoint import Reply, Request, text

FACTORS = (1.2, 1.1, 1.05, 1.02, 1.01, 1.003, 0.99)
"""What it multiplies by, in turn."""

_HEADING = re.compile(r"^# ([A-Za-z ]+?): directive (\d+), (\w+)", re.MULTILINE)
_FILE = re.compile(r"^### (\S+)\n\n(`{3,})\S*\n(.*?)\n?^\2$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(
    r"([(\[]\s*(?:[-+]?[\d.eE+-]+\s*,\s*)+)([-+]?\d+\.\d*(?:[eE][-+]?\d+)?)(\s*,?\s*[)\]])"
)


def question(request: Request) -> str:
    """The question: the first message after the system's, whatever was sent back since."""
    return str(request.messages[1]["content"])


def asked(request: Request) -> tuple[str, int, str]:
    """Which question it is, the directive's number and its operator."""
    found = _HEADING.match(question(request))
    return (found[1], int(found[2]), found[3]) if found else ("", 0, "")


def shown_files(prompt: str) -> dict[str, str]:
    """The files in a prompt, by path; those of a reference follow the base's and do not count."""
    files: dict[str, str] = {}
    for found in _FILE.finditer(prompt):
        files.setdefault(found[1], f"{found[3]}\n" if found[3] else "")
    return files


def pipeline(request: Request) -> Reply:
    """Answers each question of the `pipeline` agent in the form that it asks for."""
    stage, number, _ = asked(request)
    salt = zlib.crc32(str(request.messages[0]["content"]).encode())  # differs between agents
    factor = FACTORS[(number + salt) % len(FACTORS)]
    prompt = question(request)
    if stage in ("Plan", "Refine the plan"):
        paths = list(shown_files(prompt)) or re.findall(r"^- ([\w./]+):", prompt, re.MULTILINE)
        listed = "\n".join(f"- {path}: the table in it" for path in paths)
        return text(f"Title: scale the last column by {factor}\nIdea: more.\nFiles:\n{listed}")
    if stage == "Change the files":
        return text("\n".join(_blocks(shown_files(prompt), factor, number)))
    if stage in ("Write the files", "Write a module", "Join the modules"):
        files = shown_files(prompt)
        return text("\n".join(_whole(path, _scaled(files[path], factor, number)) for path in files))
    if stage == "Review":
        return text("Verdict: OK")
    if stage == "Analyse":
        result = re.findall(r"^(?:Score|Attempt|Against).*$", prompt, re.MULTILINE)
        return text(f"Finding: the factor {factor} gave this. {' '.join(result)[:300]}")
    return text("I do not know this question.")


def _scaled(content: str, factor: float, number: int) -> str:
    scaled, count = _ROW.subn(lambda row: row[1] + repr(float(row[2]) * factor) + row[3], content)
    return scaled if count else f"{content}# directive {number}\n"


def _whole(path: str, content: str) -> str:
    return f"```{path}\n{content}```\n"


def _blocks(files: dict[str, str], factor: float, number: int) -> list[str]:
    """One block for each run of lines that change."""
    blocks: list[str] = []
    for path, content in files.items():
        old = content.splitlines()
        new = _scaled(content, factor, number).splitlines()
        rows = [n for n, line in enumerate(old) if line != new[n]]
        if rows:
            first, last = rows[0], rows[-1] + 1
            blocks.append(block(path, old[first:last], new[first:last]))
        else:
            blocks.append(block(path, old[-3:], [*old[-3:], *new[len(old) :]]))
    return blocks


def block(path: str, search: list[str], replace: list[str]) -> str:
    """A SEARCH/REPLACE block."""
    return "\n".join(
        [f"<<<<<<< SEARCH {path}", *search, "=======", *replace, ">>>>>>> REPLACE", ""]
    )
