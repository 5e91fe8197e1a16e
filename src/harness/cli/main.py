"""The entry point: dispatch, and what the user sees when something goes wrong.

Exit codes: 0 fine, 1 our fault, 2 the user's mistake, 3 the candidate has no score (`eval`).
"""

import sys
from collections.abc import Sequence

from harness.cli.commands import all_commands, help_page
from harness.errors import HarnessError, ModelRefusedError, UserError
from harness.redact import redact
from harness.version import package_version

EXIT_OUR_FAULT = 1
EXIT_USER = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    raise SystemExit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    # Answered here because the command parser alone costs more than a help page may.
    if not arguments or arguments[0] in ("--help", "-h"):
        print(help_page())
        return 0 if arguments else EXIT_USER
    if arguments[0] == "--version":
        print(package_version())
        return 0
    if sys.platform not in ("linux", "darwin"):
        print("harness runs on Linux, macOS and WSL2", file=sys.stderr)
        return EXIT_USER
    try:
        return _dispatch(arguments)
    except UserError as error:
        if debug:
            raise
        print(redact(f"error: {error}"), file=sys.stderr)
        return EXIT_USER
    except ModelRefusedError as error:
        if debug:
            raise
        print(redact(f"error: {error}"), file=sys.stderr)
        return EXIT_USER
    except HarnessError as error:
        if debug:
            raise
        # What says what to do is no riddle.
        hint = "" if "to do:" in str(error) else "\n  (--debug shows where)"
        print(redact(f"error: {error}{hint}"), file=sys.stderr)
        return EXIT_OUR_FAULT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _dispatch(arguments: list[str]) -> int:
    import cyclopts

    app = cyclopts.App(
        name="harness",
        help_format="plaintext",
        version=package_version(),
        print_error=False,
        exit_on_error=False,
        result_action="return_value",
    )
    for entry in all_commands():
        app.command(entry.target, name=entry.name, help=entry.help)
    try:
        result = app(arguments)
    except cyclopts.CycloptsError as error:
        from harness.cli.usage import usage_error

        known = [word for word in arguments[:1] if word in [entry.name for entry in all_commands()]]
        raise usage_error(error, known) from None
    return result if isinstance(result, int) else 0
