"""Files of a container whose folders cannot be reached from outside: by commands in it.

The container's own processes could swap a folder for a link between check and use; they would only
redirect into their own container.
"""

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import ExecEnd, ExecResult, Sandbox

_TIMEOUT_S = 120.0
_MISSING, _REFUSED = 65, 66

# $1: path below the working directory. Every step is looked at before it is entered.
_WALK = f"""
rest=$1; here=.
while [ -n "$rest" ]; do
    step=${{rest%%/*}}; rest=${{rest#"$step"}}; rest=${{rest#/}}
    [ -n "$step" ] || continue
    here=$here/$step
    [ -L "$here" ] && exit {_REFUSED}
    if [ -n "$rest" ] && [ -e "$here" ] && [ ! -d "$here" ]; then exit {_REFUSED}; fi
done
if [ -e "$here" ] && [ ! -f "$here" ]; then exit {_REFUSED}; fi
"""
_READ = f'{_WALK}[ -e "$here" ] || exit {_MISSING}\nexec head -c "$2" -- "$here"'
_WRITE = f"""{_WALK}
folder=${{here%/*}}
mkdir -p -- "$folder" && new=$(mktemp -- "$folder/.write.XXXXXX") || exit 1
cat >"$new" && chmod "$2" -- "$new" && mv -T -- "$new" "$here"
"""


async def read_by_command(sandbox: Sandbox, path: str, max_bytes: int) -> bytes:
    """As `Sandbox.read_file`."""
    _check(path)
    limit = max_bytes + 1
    result = await sandbox.exec(
        ["/bin/sh", "-c", _READ, "sh", path, str(limit)],
        timeout_s=_TIMEOUT_S,
        max_output_bytes=limit + 4096,
    )
    _raise(result, path)
    if len(result.stdout) > max_bytes:
        raise OverflowError(f"{path!r} is larger than {max_bytes} bytes")
    return result.stdout


async def write_by_command(sandbox: Sandbox, path: str, data: bytes, *, executable: bool) -> None:
    """As `Sandbox.write_file`."""
    _check(path)
    mode = "755" if executable else "644"
    result = await sandbox.exec(
        ["/bin/sh", "-c", _WRITE, "sh", path, mode], timeout_s=_TIMEOUT_S, stdin=data
    )
    _raise(result, path)


def _check(path: str) -> None:
    if path.startswith("/") or ".." in path.split("/") or "\0" in path or not path.strip("/."):
        raise PermissionError(f"not a path below the folder: {path!r}")


def _raise(result: ExecResult, path: str) -> None:
    if result.end is ExecEnd.EXITED and result.exit_code == _MISSING:
        raise FileNotFoundError(path)
    if result.end is ExecEnd.EXITED and result.exit_code == _REFUSED:
        raise PermissionError(f"not a regular file, or through a link: {path!r}")
    if not result.ok:
        reason = result.evidence or result.stderr[-300:].decode("utf-8", "backslashreplace")
        raise SandboxUnavailableError(f"reading or writing {path!r}: {result.end}: {reason}")
