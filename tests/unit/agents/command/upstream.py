"""A model endpoint that answers what a test hands it, in any wire format."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast


class Upstream:
    """Plays answers in order: a document as JSON, a list of documents as a stream of events.

    Requests are kept as path, headers (lower case) and body.
    """

    def __init__(self, *answers: object, status: int = 200) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self._answers = list(answers)
        self._status = status
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                upstream.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Requests are kept, not printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        headers: Mapping[str, str] = {k.lower(): v for k, v in handler.headers.items()}
        self.requests.append((handler.path, dict(headers), body))
        answer: Any = self._answers.pop(0)
        if isinstance(answer, list):
            kind = "text/event-stream"
            events = cast("list[object]", answer)
            data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        else:
            kind = "application/json"
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(self._status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
