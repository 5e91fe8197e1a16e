"""`harness image`: build and list Docker images."""

from dataclasses import asdict
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from harness.cli.output import JsonFlag, print_json, print_table, say
from harness.events import SCHEMA_VERSION

app = cyclopts.App(name="image", help="Build and list Docker images.")


@app.command
def build(
    *,
    base: Annotated[str, Parameter(help="An image, or `debootstrap`.")] = "python:3.12-slim",
    force: Annotated[bool, Parameter(negative=(), help="Also when it is up to date.")] = False,
    json: JsonFlag = False,
) -> None:
    """Build the image in which agents work and candidates run.

    `--base debootstrap` makes the root file system from this machine's apt mirror (as root, on
    Debian or Ubuntu), where no registry can be reached.
    """
    from harness.sandbox import images

    image = images.build(base, force=force, report=say)
    if json:
        print_json({"schema_version": SCHEMA_VERSION, "image": asdict(image)})
    else:
        print(f"{', '.join(image.tags)}: {image.size_bytes / 1e6:.0f} MB, from {image.base}")


@app.command(name="list")
def list_images(*, json: JsonFlag = False) -> None:
    """The images that `harness image build` made."""
    from harness.sandbox import images

    found = images.installed()
    if json:
        print_json({"schema_version": SCHEMA_VERSION, "images": [asdict(one) for one in found]})
        return
    print_table(
        ("image", "size", "base", "created", "up to date"),
        (
            (
                ", ".join(one.tags) or one.id[7:19],
                f"{one.size_bytes / 1e6:.0f} MB",
                one.base,
                one.created[:19],
                "yes" if one.current else "no",
            )
            for one in found
        ),
    )
