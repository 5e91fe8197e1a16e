"""The HTTP service behind the relay: one for each agent, on a Unix socket of this machine."""

import asyncio
import contextlib
import json
import logging
import secrets
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.agents.command.desk import ToolDesk
from harness.agents.command.gateway import Gateway
from harness.agents.command.mcp_server import MAX_LINE_BYTES, http_manager, serve_lines
from harness.agents.command.wire import refusal

_STARTED_POLL_S = 0.01
_MAX_CALL_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs."""

    sockets: Mapping[str, Path]
    """By the relay's names of services."""
    token: str
    """What the agent's programs show; the service's only one."""


class _Server(uvicorn.Server):
    """Leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(desk: ToolDesk, gateway: Gateway) -> AsyncGenerator[Service]:
    """Serve an agent's tools and models while the block runs."""
    token = secrets.token_urlsafe(32)
    manager = http_manager(desk)

    async def call(request: Request) -> Response:
        body = await _json(request)
        if body is None:
            return JSONResponse({"text": "Error: not a call", "error": True}, 400)
        tool: Any = body.get("tool") or ""
        given: object = body.get("arguments") or {}
        if not tool or not isinstance(given, dict):
            return JSONResponse({"text": desk.help(), "error": bool(tool)})
        arguments = cast("dict[str, Any]", given)
        answer = await desk.call(str(tool), arguments, f"command/{body.get('id')}")
        return JSONResponse({"text": answer.text, "error": answer.error})

    app = Starlette(
        routes=[
            Route("/harness/call", call, methods=["POST"]),
            Mount("/mcp", app=manager.handle_request),
            *gateway.routes(),
        ]
    )
    with tempfile.TemporaryDirectory(prefix="harness-service-") as folder:
        sockets = {name: Path(folder) / name for name in ("http", "mcp")}
        async with (
            _sessions(manager),
            _lines(desk, token, sockets["mcp"]),
            _http(_Guard(app, token), sockets["http"]),
        ):
            yield Service(sockets, token)


async def _json(request: Request) -> dict[str, Any] | None:
    data = bytearray()
    async for block in request.stream():
        data += block
        if len(data) > _MAX_CALL_BYTES:
            return None
    try:
        body: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", body) if isinstance(body, dict) else None


class _Guard:
    """Asks every request for the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ").strip()
        given = given or headers.get(b"x-api-key", b"").strip()
        if not secrets.compare_digest(given, self._token):
            response = refusal(scope["path"], 401, "wrong token: use the one of your environment")
            await response(scope, receive, send)
            return
        if scope["path"] == "/mcp":
            scope = {**scope, "path": "/mcp/", "raw_path": b"/mcp/"}
        await self._app(scope, receive, send)


@contextlib.asynccontextmanager
async def _sessions(manager: StreamableHTTPSessionManager) -> AsyncGenerator[None]:
    """Its task group lives in a task of its own, so that it wraps no error of the block."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with manager.run():
            begun.set()
            await ended.wait()

    task = asyncio.create_task(run())
    try:
        await begun.wait()
        yield
    finally:
        ended.set()
        await asyncio.wait((task,))


@contextlib.asynccontextmanager
async def _lines(desk: ToolDesk, token: str, path: Path) -> AsyncGenerator[None]:
    server = await asyncio.start_unix_server(
        partial(serve_lines, desk, token), path, limit=MAX_LINE_BYTES
    )
    try:
        yield
    finally:
        server.close()


@contextlib.asynccontextmanager
async def _http(app: ASGIApp, path: Path) -> AsyncGenerator[None]:
    config = uvicorn.Config(
        app,
        uds=str(path),
        lifespan="off",
        log_config=None,
        log_level=logging.CRITICAL,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=600,
        ws="none",
        http="h11",
        loop="none",
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started and not task.done():
            await asyncio.sleep(_STARTED_POLL_S)
        yield
    finally:
        server.should_exit = True
        await asyncio.wait((task,))
