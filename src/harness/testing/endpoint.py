"""An OpenAI-compatible HTTP server on loopback that plays a script or a function of the request.

Tests and trials of the `llm` agent go through the real client over real HTTP to it:

    with ScriptedEndpoint([tool_call("bash", command="ls"), text("done")]) as endpoint:
        client = AsyncOpenAI(base_url=endpoint.url, api_key="any")

`python -m harness.testing.endpoint --behaviour improver` runs it as a command.
"""

import argparse
import contextlib
import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import urlsplit

from harness.testing.embeddings import embedding as embedding
from harness.testing.embeddings import embeddings
from harness.testing.replies import Behaviour as Behaviour
from harness.testing.replies import Call as Call
from harness.testing.replies import JsonObject as JsonObject
from harness.testing.replies import Reply as Reply
from harness.testing.replies import Request as Request
from harness.testing.replies import dropped as dropped
from harness.testing.replies import empty_choices as empty_choices
from harness.testing.replies import malformed_json as malformed_json
from harness.testing.replies import rate_limited as rate_limited
from harness.testing.replies import refusal as refusal
from harness.testing.replies import server_error as server_error
from harness.testing.replies import slow as slow
from harness.testing.replies import text as text
from harness.testing.replies import tool_call as tool_call
from harness.testing.replies import tool_calls as tool_calls
from harness.testing.stream import events

MODEL_NAME = "scripted"
_CHARACTERS_PER_TOKEN = 4


class _Script:
    """Plays replies in order, each once."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = list(replies)
        self._played = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            if self._played == len(self._replies):
                return refusal(400, f"the script has ended after {self._played} replies")
            self._played += 1
            return self._replies[self._played - 1]


class ScriptedEndpoint:
    """The server. A context manager: listens on `url` while entered.

    Args:
        behaviour: Replies to play in order (400 when they are used up), or a function of the
            request, called from the server's threads.
        key: When given, requests with another bearer token are answered with 401.
        model: The one model name that exists; others are answered with 404. None: any name.
        port: 0 for a free one.

    `requests` are those that came, `sent` those whose reply went out as a whole, with it.
    """

    def __init__(
        self,
        behaviour: Sequence[Reply] | Behaviour,
        *,
        key: str | None = None,
        model: str | None = None,
        port: int = 0,
    ) -> None:
        self.requests: list[Request] = []
        self.sent: list[tuple[Request, Reply]] = []
        self._behaviour = behaviour if callable(behaviour) else _Script(behaviour)
        self._key = key
        self._model = model
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self._alive = False

    @property
    def url(self) -> str:
        """Base address for a client, ending in `/v1`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def chats(self) -> list[Request]:
        """Requests to `/v1/chat/completions` so far."""
        return [request for request in self.requests if request.path.endswith("/chat/completions")]

    def __enter__(self) -> Self:
        self._alive = True
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Stop as a crash does: connections break, nothing listens until `restart`."""
        if self._alive:
            self._alive = False
            self._server.stop()

    def restart(self) -> None:
        """Listen on the same port again; behaviour and requests are kept."""
        self._server = _Server(self._server.server_address[:2], self)
        self._alive = True
        self._server.start()

    def answer(
        self, path: str, headers: Mapping[str, str], body: JsonObject
    ) -> tuple[Request, Reply]:
        """One request and the reply to it; called by the server's threads."""
        with self._lock:
            number = 1 + sum(request.path == path for request in self.requests)
            request = Request(path, headers, body, number)
            self.requests.append(request)
        return request, self._refuse(request) or self._route(request)

    def _refuse(self, request: Request) -> Reply | None:
        if self._key is not None and request.headers.get("authorization") != f"Bearer {self._key}":
            return refusal(401, "Incorrect API key provided")
        wanted = request.body.get("model")
        if self._model is not None and wanted is not None and wanted != self._model:
            return refusal(404, f"The model {wanted!r} does not exist")
        return None

    def _route(self, request: Request) -> Reply:
        if request.path == "/v1/chat/completions":
            return _finish(self._behaviour(request), request)
        if request.path == "/v1/embeddings":
            return Reply(body=embeddings(request.body, MODEL_NAME))
        if request.path == "/v1/models":
            models = [{"id": self._model or MODEL_NAME, "object": "model", "owned_by": "harness"}]
            return Reply(body={"object": "list", "data": models})
        return refusal(404, f"no such path: {request.path}")


def _finish(reply: Reply, request: Request) -> Reply:
    """Fill in what every completion has: identifiers and token counts."""
    if reply.status != 200 or reply.raw is not None:
        return reply
    body = cast(JsonObject, json.loads(json.dumps(reply.body)))
    stamp = hashlib.sha256(f"{time.time_ns()}:{request.number}".encode()).hexdigest()[:16]
    for choice in body.get("choices", ()):
        message = cast(JsonObject, choice["message"] or {})
        for index, call in enumerate(message.get("tool_calls", ())):
            call["id"] = call["id"] or f"call_{stamp}_{index}"
    prompt = len(json.dumps(request.messages)) // _CHARACTERS_PER_TOKEN
    completion = len(json.dumps(body)) // _CHARACTERS_PER_TOKEN
    prompt = prompt if reply.prompt_tokens is None else reply.prompt_tokens
    completion = completion if reply.completion_tokens is None else reply.completion_tokens
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
    }
    model = request.body.get("model", MODEL_NAME)
    head = {"id": f"chatcmpl-{stamp}", "created": int(time.time()), "model": model}
    return replace(reply, body={**head, **body, "usage": usage})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: Any, endpoint: ScriptedEndpoint) -> None:
        self.endpoint = endpoint
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Break what is connected, too."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # its client has gone by itself
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are expected; everything else is worth a traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes; with Nagle's algorithm the second waits 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            body = json.loads(data)
        except ValueError:
            self._send(refusal(400, "the request's body is not JSON"))
            return
        self._serve(cast(JsonObject, body) if isinstance(body, dict) else {})

    def _serve(self, body: JsonObject) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        server = cast(_Server, self.server)
        request, reply = server.endpoint.answer(urlsplit(self.path).path, headers, body)
        if reply.delay_s:
            server.closing.wait(reply.delay_s)
        if reply.drop or server.closing.is_set():
            self.close_connection = True
        elif body.get("stream") and reply.status == 200 and reply.raw is None:
            if self._stream(reply, body):
                server.endpoint.sent.append((request, reply))
        elif self._send(reply):
            server.endpoint.sent.append((request, reply))

    def _stream(self, reply: Reply, body: JsonObject) -> bool:
        """Whether all of it was sent."""
        wanted = cast(JsonObject, body.get("stream_options") or {})
        pieces = events(reply.body, include_usage=bool(wanted.get("include_usage")))
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number, piece in enumerate(pieces):
                if number == reply.cut_after:
                    self.close_connection = True
                    return False
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # the client gave up waiting
            return False
        return True

    def _send(self, reply: Reply) -> bool:
        """Whether all of it was sent."""
        data = reply.raw if reply.raw is not None else json.dumps(reply.body).encode("utf-8")
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True  # the client gave up waiting
            return False
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are recorded, not printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the endpoint until it is interrupted; its address is the first line printed."""
    from harness.testing.behaviours import BEHAVIOURS

    parser = argparse.ArgumentParser(prog="python -m harness.testing.endpoint")
    parser.add_argument("--behaviour", choices=sorted(BEHAVIOURS), default="improver")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--key", help="the API key to ask for; any by default")
    options = parser.parse_args(arguments)
    with ScriptedEndpoint(
        BEHAVIOURS[options.behaviour], key=options.key, port=options.port
    ) as endpoint:
        sys.stdout.write(f"{endpoint.url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
