"""A stdio MCP server for a coding agent: passes its standard input and output to the harness."""

import json
import os
import socket
import sys
import threading

BLOCK = 65_536


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        settings = json.load(file)
    connection = socket.create_connection(("127.0.0.1", settings["mcp_port"]))
    connection.sendall(settings["token"].encode() + b"\n")

    def upwards() -> None:
        while True:
            data = os.read(0, BLOCK)
            if not data:
                connection.shutdown(socket.SHUT_WR)
                return
            connection.sendall(data)

    threading.Thread(target=upwards, daemon=True).start()
    while True:
        data = connection.recv(BLOCK)
        if not data:
            os._exit(0)
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
