"""The model gateway: the agent's CLI calls models through it, without the key.

Each call waits for its turn at the endpoint as the calls of other agents do, is reserved in the
budget before it is sent, and settled by what the endpoint says it used. Whether a call is tried
again is the CLI's decision; while the endpoint is down, its next one waits.
"""

import functools
import json
import ssl
from collections.abc import Callable
from typing import cast

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.agents.addresses import resolve_endpoint
from harness.agents.answers import estimate_tokens
from harness.agents.base import AgentContext
from harness.agents.command.call import PATHS, Call
from harness.agents.command.wire import (
    JsonObject,
    refusal,
    remote_attachment,
)
from harness.errors import BudgetExhaustedError, ConfigurationError

MAX_REQUEST_BYTES = 32 * 1024 * 1024


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the certificates takes a quarter of a second: once for all agents."""
    return httpx2.create_ssl_context()


class Gateway:
    """The models of one agent. Belongs to the event loop.

    `exhausted` is told when a call does not fit the budget.
    """

    def __init__(
        self, context: AgentContext, exhausted: Callable[[BudgetExhaustedError], None]
    ) -> None:
        self._context = context
        self._exhausted = exhausted
        self._client = httpx2.AsyncClient(follow_redirects=False, verify=_tls())
        self.calls = 0

    async def close(self) -> None:
        await self._client.aclose()

    def routes(self) -> list[Route]:
        """What the CLI finds at its base URL."""
        return [
            *(Route(f"/v1{path}", self._answer, methods=["POST"]) for path in PATHS.values()),
            Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/v1/models/{name:path}", self._models, methods=["GET"]),
        ]

    async def _models(self, request: Request) -> Response:
        names = [self._context.model.name] if self._context.model.name else []
        models = [
            {
                "id": name,
                "object": "model",
                "type": "model",
                "display_name": name,
                "created": 0,
                "created_at": "1970-01-01T00:00:00Z",
                "owned_by": "harness",
            }
            for name in names
        ]
        wanted = request.path_params.get("name")
        if wanted is not None:
            # Any name is answered by a model that is configured.
            return JSONResponse({**models[0], "id": wanted}) if models else _missing(request)
        return JSONResponse({"object": "list", "data": models, "has_more": False})

    async def _count_tokens(self, request: Request) -> Response:
        body = await _body(request)
        if isinstance(body, Response):
            return body
        return JSONResponse({"input_tokens": estimate_tokens(body)})

    async def _answer(self, request: Request) -> Response:
        body = await _body(request)
        if isinstance(body, Response):
            return body
        if remote_attachment(body):
            return refusal(request.url.path, 400, "attachments by address cannot be fetched here")
        # Whatever the CLI asks for: which model it is, is the run's decision.
        model = self._context.model
        try:
            endpoint = resolve_endpoint(model)
        except ConfigurationError as error:
            return refusal(request.url.path, 400, error.wrong)
        return await Call(self, self._context, request, body, model, endpoint).run()

    def client(self) -> httpx2.AsyncClient:
        return self._client

    def exhausted(self, error: BudgetExhaustedError) -> None:
        self._exhausted(error)


def _missing(request: Request) -> Response:
    return refusal(request.url.path, 404, "no model is configured")


async def _body(request: Request) -> JsonObject | Response:
    data = bytearray()
    async for block in request.stream():
        data += block
        if len(data) > MAX_REQUEST_BYTES:
            return refusal(request.url.path, 413, f"more than {MAX_REQUEST_BYTES} bytes")
    try:
        body: object = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return refusal(request.url.path, 400, "the request's body is not a JSON object")
    return cast(JsonObject, body)
