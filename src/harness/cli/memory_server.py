"""`harness memory serve | sync`: one memory for several machines."""

import subprocess
import sys
import time
from typing import Annotated

from cyclopts import Parameter

from harness.cli.memory_app import Embedder, Folder, app, document, memory_config
from harness.cli.output import JsonFlag, say
from harness.errors import UserError


@app.command
def serve(*, host: str = "127.0.0.1", port: int = 8793, path: Folder = None) -> None:
    """Run Chroma's own server for a memory that several machines share, until interrupted.

    It has no access control: let it listen where only your machines can reach it.

    Parameters
    ----------
    host
        Address to listen on; 0.0.0.0 for all.
    port
        Port to listen on.
    """
    from harness.memory.folder import memory_folder, refuse_network
    from harness.memory.server import command

    folder = memory_folder(memory_config(path, None, "global"))
    refuse_network(folder)
    argv = command(folder, host, port)
    folder.mkdir(parents=True, exist_ok=True)
    say(f"memory.url: http://{host}:{port} (data in {folder / 'server'})")
    server = subprocess.Popen(argv, stdout=sys.stderr)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        code = server.wait()
        return
    if code:
        raise UserError(
            f"Chroma's server ended with exit code {code}",
            expected="a server that listens until it is interrupted",
            action=f"read what it said above; is port {port} taken?",
        )


@app.command
def sync(
    *,
    url: Annotated[str | None, Parameter(help="The server (default: memory.url).")] = None,
    path: Folder = None,
    embedder: Embedder = None,
    json: JsonFlag = False,
) -> None:
    """Send the server of `memory.url` what it lacks, and take what other machines sent."""
    from harness.memory.embedders import make_embedder
    from harness.memory.folder import memory_folder
    from harness.memory.open import agreed, open_store
    from harness.memory.server import sync as exchange

    config = memory_config(path, embedder, "global")
    address = url or config.url
    if address is None:
        raise UserError(
            "no server is named",
            expected="`memory.url` in the configuration, or --url",
            action="harness memory serve on one machine, then --url http://HOST:8793",
        )
    folder = memory_folder(config)
    maker = make_embedder(config)
    store = open_store(folder)
    try:
        found = exchange(store, agreed(store, maker, folder), address, at=time.time())
    finally:
        store.close()
    if json:
        document(**found)
    else:
        say(f"{found['sent']} records sent, {found['taken']} taken")
