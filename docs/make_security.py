"""Writes the table of attacks in docs/security.md from what `make zoo` saw.

make zoo && python docs/make_security.py [zoo-results.json]
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("security.md")
BEGIN, END = "<!-- attacks: written by docs/make_security.py -->\n", "<!-- end of attacks -->\n"


def table(results: dict[str, dict[str, str]]) -> str:
    """One section for each kind of attack; what was not run is a dash."""
    sys.path.insert(0, str(ROOT))
    from tests.zoo.catalogue import catalogue

    lines: list[str] = []
    for heading, attacks in catalogue().items():
        lines += [f"### {heading}\n", "| attack | what it does | Docker | bubblewrap |"]
        lines.append("|---|---|---|---|")
        for name, what in attacks.items():
            seen = results.get(name, {})
            cells = [seen.get(sandbox) or seen.get("all", "-") for sandbox in SANDBOXES]
            lines.append(f"| `{name}` | {what} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


SANDBOXES = ("docker", "bubblewrap")


def main() -> None:
    """Replace what stands between the marks."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "zoo-results.json"
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    made = table(json.loads(source.read_text(encoding="utf-8")))
    PAGE.write_text(before + BEGIN + "\n" + made + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
