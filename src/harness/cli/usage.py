"""A command line that cannot be parsed, told as every other mistake: wrong, expected, to do."""

from collections.abc import Sequence

import cyclopts

from harness.cli.commands import all_commands
from harness.errors import UserError

KINDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "no value: the flag alone says yes",
}


def usage_error(error: cyclopts.CycloptsError, known: Sequence[str]) -> UserError:
    """What the parser found wrong; `known` are the words of the command that was recognised."""
    said = " ".join(str(error).split())
    wrong, expected = _explained(error, said, known)
    command = " ".join(["harness", *known])
    return UserError(wrong, expected=expected, action=f"{command} --help")


def _explained(error: cyclopts.CycloptsError, said: str, known: Sequence[str]) -> tuple[str, str]:
    """What is wrong, and what was expected."""
    command = " ".join(["harness", *known])
    if isinstance(error, cyclopts.UnknownOptionError):
        return said, f"an option of `{command}`"
    if isinstance(error, cyclopts.UnknownCommandError):
        wrong, _, verbs = said.partition(" Available commands: ")
        all_verbs = verbs.rstrip(".") if known else ", ".join(e.name for e in all_commands())
        return wrong.rstrip("."), f"a command: {all_verbs}"
    if isinstance(error, cyclopts.UnusedCliTokensError):
        more = ", ".join(repr(token) for token in error.unused_tokens or ())
        return f"`{command}` does not take {more}", "fewer words; one with spaces in quotes"
    for marker, prefix in (("Choose from: ", "one of "), ("Must be ", "a value ")):
        wrong, found, rest = said.partition(f" {marker}")
        if found:
            return wrong.rstrip("."), prefix + rest.rstrip(".")
    if isinstance(error, cyclopts.CoercionError):
        wrong, _, why = said.partition(": unable to convert ")
        value = why.partition(" into ")[0]
        expected = KINDS.get(error.target_type or str, "another kind of value")
        return f"{wrong}{': ' + value if value else ''}".rstrip("."), expected
    if isinstance(error, cyclopts.MissingArgumentError):
        argument = error.argument
        name = argument.name.lstrip("-") if argument is not None else ""
        if argument is not None and name and error.keyword is None:
            flag = f"--{name} " if argument.index is None else ""  # what has no place has a flag
            return f"{flag.strip() or name.upper()} is missing", f"{command} … {flag}{name.upper()}"
        return said.rstrip("."), "a value for it"
    return said, f"what `{command} --help` describes"
