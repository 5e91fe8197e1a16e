"""Runs a command that has a proxy on its loopback: forward.py SOCKET COMMAND [ARGUMENT ...]

Inside a sandbox, without the harness: standard library only. The proxy is what listens on the Unix
socket. Ends as the command does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

BLOCK = 1 << 16
MAX_CONNECTIONS = 128
NAMES = ("http_proxy", "https_proxy")


def pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes until the end, and the end too."""
    try:
        while data := source.recv(BLOCK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def carry(client: socket.socket, path: str, slots: threading.Semaphore) -> None:
    """Join one connection to the proxy."""
    try:
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as proxy:
            proxy.connect(path)
            back = threading.Thread(target=pump, args=(proxy, client), daemon=True)
            back.start()
            pump(client, proxy)
            back.join()
    except OSError:
        pass  # the proxy is gone, and the client sees its connection end
    finally:
        slots.release()


def serve(listener: socket.socket, path: str) -> None:
    """Accept until the process ends."""
    slots = threading.Semaphore(MAX_CONNECTIONS)
    while True:
        slots.acquire()
        client, _ = listener.accept()
        threading.Thread(target=carry, args=(client, path, slots), daemon=True).start()


def environment(port: int) -> dict[str, str]:
    """What tells programs of the proxy."""
    url = f"http://127.0.0.1:{port}"
    told = dict.fromkeys((*NAMES, *map(str.upper, NAMES)), url)
    return {**told, "no_proxy": "localhost,127.0.0.1", "NO_PROXY": "localhost,127.0.0.1"}


def main() -> None:
    """Start the command, carry its connections, end as it does."""
    path, *command = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0))
    variables = {**os.environ, **environment(listener.getsockname()[1])}
    child = os.fork()
    if child == 0:
        try:
            os.execvpe(command[0], command, variables)
        except OSError as error:
            os.write(2, f"{command[0]!a}: {error.strerror}\n".encode())
            os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    # Whoever reads what the command prints must see its end.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    threading.Thread(target=serve, args=(listener, path), daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
