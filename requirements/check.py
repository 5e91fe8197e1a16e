"""Holds requirements/*.txt against uv.lock, from which they are exported (`--write`).

pip installs from them, so that set-up needs nothing but Python and honours pip's own configuration
(mirrors, wheel folders).
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
EXPORTS = {"runtime.txt": ["--no-dev"], "dev.txt": ["--all-extras"]}


def exported(options: list[str]) -> str:
    """The locked requirements as uv prints them, without its header."""
    uv = str(Path(sys.executable).parent / "uv")
    command = [uv, "export", "--frozen", "--no-emit-project", "--no-annotate", "--no-header"]
    done = subprocess.run(
        [*command, *options], cwd=FOLDER.parent, capture_output=True, text=True, check=True
    )
    return "# Exported from uv.lock by `make lock`.\n" + done.stdout


def main() -> int:
    """Write the files, or say which are stale."""
    stale: list[str] = []
    for name, options in EXPORTS.items():
        path = FOLDER / name
        text = exported(options)
        if "--write" in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(FOLDER.parent)))
    if stale:
        sys.stderr.write(f"error: not what uv.lock says: {', '.join(stale)}; run `make lock`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
