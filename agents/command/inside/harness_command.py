"""The `harness` command in an agent's workspace: the team's tools for agents without MCP."""

from __future__ import annotations

import argparse
import http.client
import json
import shlex
import sys
import time
import uuid
from typing import Any

TRIES = 4
WAIT_S = 0.5


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="harness", description="Talk to the team: submit, board, attempts, memory."
    )
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, about: str, tool: str = "") -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=about, description=about)
        made.set_defaults(tool=tool or name)
        return made

    submit = verb("submit", "submit the workspace as an attempt and show its verdict")
    submit.add_argument("-m", "--message", dest="title", required=True, help="what you changed")
    submit.add_argument("--no-wait", dest="wait", action="store_false", default=None)
    results = verb("results", "verdicts of what was submitted with --no-wait")
    results.add_argument("--wait", action="store_true", default=None, help="wait for the next one")
    verb("board", "leaders, latest attempts, teammates").add_argument(
        "--agent", help="only this agent's attempts"
    )
    attempt = verb("attempt", "an attempt's verdict, files and difference", "show_attempt")
    attempt.add_argument("attempt", metavar="ID")
    attempt.add_argument("--path", help="show this file instead")
    attempt.add_argument("--against", metavar="ID", help="compare with this attempt")
    verb("checkout", "put the workspace on an attempt's files").add_argument(
        "attempt", metavar="ID"
    )
    diff = verb("diff", "what you changed since the directive's base, or between attempts")
    diff.add_argument("attempt", metavar="ID", nargs="?")
    diff.add_argument("--against", metavar="ID")
    trial = verb("try", "run a command where candidates run, unscored: harness try -- CMD…")
    trial.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    trial.add_argument("--timeout", dest="timeout_s", type=float)
    verb("focus", "tell the team what you concentrate on").add_argument("focus", metavar="TEXT")
    memory(
        verbs.add_parser("memory", help="search, note or share a skill").add_subparsers(
            dest="what", required=True, metavar="VERB"
        )
    )
    call = verb("call", "call any tool with JSON arguments; without one, list the tools")
    call.add_argument("name", nargs="?", metavar="TOOL")
    call.add_argument("json", nargs="?", default="{}", metavar="ARGUMENTS")
    return main


def memory(verbs: Any) -> None:
    search = verbs.add_parser("search", help="what was tried, what came of it, notes of all")
    search.add_argument("query", nargs="+")
    search.add_argument("--limit", type=int)
    search.set_defaults(tool="memory_search")
    note = verbs.add_parser("note", help="a finding for others: harness memory note TITLE TEXT")
    note.add_argument("title")
    note.add_argument("text", help="`-` reads standard input")
    note.set_defaults(tool="memory_note")
    skill = verbs.add_parser("skill", help="share files that others can use again")
    skill.add_argument("title")
    skill.add_argument("text", help="how to use them; `-` reads standard input")
    skill.add_argument("paths", nargs="+", metavar="FILE")
    skill.set_defaults(tool="memory_skill")
    load = verbs.add_parser("load", help="put the files of a shared skill into the workspace")
    load.add_argument("load", metavar="ID")
    load.set_defaults(tool="memory_skill")


def call_of(given: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Tool and arguments; what was not given is left to the tool."""
    if given.tool == "call":
        return given.name or "", json.loads(given.json)
    values = dict(vars(given))
    for name in ("verb", "what", "tool"):
        values.pop(name, None)
    words = values.pop("words", None)
    if words is not None:
        values["command"] = " ".join(map(shlex.quote, words[1:] if words[:1] == ["--"] else words))
    if isinstance(values.get("query"), list):
        values["query"] = " ".join(values["query"])
    if values.get("text") == "-":
        values["text"] = sys.stdin.read()
    return given.tool, {name: value for name, value in values.items() if value is not None}


def send(settings: dict[str, Any], tool: str, arguments: dict[str, Any]) -> tuple[int, Any]:
    # The same in each try: a call whose answer was lost is not made twice.
    body = json.dumps({"tool": tool, "arguments": arguments, "id": uuid.uuid4().hex})
    headers = {
        "Authorization": "Bearer " + settings["token"],
        "Content-Type": "application/json",
    }
    number = 0
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", settings["http_port"])
        try:
            connection.request("POST", "/harness/call", body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            number += 1
            if number == TRIES:
                return 0, {"text": "Error: the harness does not answer: " + str(error)}
            time.sleep(WAIT_S * 2**number)
        finally:
            connection.close()


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        settings = json.load(file)
    given = parser().parse_args(sys.argv[2:])
    try:
        tool, arguments = call_of(given)
    except ValueError as error:
        sys.exit("harness: the arguments are not JSON: " + str(error))
    status, answer = send(settings, tool, arguments)
    print(answer.get("text", ""))  # noqa: T201
    sys.exit(0 if status == 200 and not answer.get("error") else 1)


if __name__ == "__main__":
    main()
