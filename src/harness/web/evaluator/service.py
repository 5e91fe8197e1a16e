"""The HTTP server: who may ask, what is a question, and which answer has which status."""

import asyncio
import ipaddress
import json
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from harness.errors import (
    BudgetExhaustedError,
    ConfigurationError,
    InfrastructureError,
    SubmissionRefusedError,
)
from harness.evaluators.strict_json import Json, StrictJsonError, parse
from harness.redact import redact
from harness.sandbox.base import MIB
from harness.sandbox.tree import TreeFile
from harness.web.evaluator.candidates import Candidates
from harness.web.evaluator.contract import Contract, budget
from harness.web.evaluator.desk import Answer, ClosingError, EvaluationDesk

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * MIB
"""However large submissions may be."""
_ESCAPED = 3
"""Bytes of JSON for one of a text: what is not ASCII may come as escapes."""
_ENVELOPE_BYTES = 64 * 1024
_ANSWERING_S = 2.0
"""For answers that are being written when the server ends."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EvaluatorService:
    """Answers requests; `executor` reads their bodies."""

    def __init__(
        self,
        desk: EvaluationDesk,
        candidates: Candidates,
        contract: Contract,
        token: str,
        executor: Executor,
    ) -> None:
        self.desk = desk
        self._candidates = candidates
        self._contract = contract
        self._token = token.encode()
        self._executor = executor

    def application(self) -> web.Application:
        """The routes behind the guard."""
        largest = self._contract.task.file.submission.max_bytes
        application = web.Application(
            middlewares=[self._guard],
            client_max_size=min(_ESCAPED * largest + _ENVELOPE_BYTES, MAX_BODY_BYTES),
        )
        application.add_routes(
            [
                web.post("/evaluate", self._evaluate),
                web.post("/evaluate_examples", self._evaluate_examples),
                web.get("/status", self._status),
                web.get("/task", self._task),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who has the token; every refusal is a JSON document with `error`."""
        if not self._admits(request):
            headers = {"WWW-Authenticate": "Bearer"}
            return _json({"error": "no token, or a wrong one"}, 401, headers)
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge as error:
            return _json({"error": error.text}, 413)
        except web.HTTPException as error:
            return _json(
                {"error": f"{error.reason}: {request.method} {request.path}"}, error.status
            )
        except (StrictJsonError, SubmissionRefusedError) as error:
            return self._refusal(error, 400)
        except BudgetExhaustedError as error:
            return self._refusal(error, 429)
        except ClosingError as error:
            return self._refusal(error, 503)
        except InfrastructureError as error:
            return self._refusal(error, 500)
        except Exception as error:  # supervision: a bug of ours costs one answer, in words
            logger.exception("%s %s", request.method, request.path)
            return self._refusal(RuntimeError(f"the server failed: {type(error).__name__}"), 500)

    def _admits(self, request: web.Request) -> bool:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        shown = given.strip().encode("utf-8", "surrogateescape")
        return secrets.compare_digest(shown, self._token) and kind.lower() == "bearer"

    def _refusal(self, error: Exception, status: int) -> web.Response:
        return _json({"error": str(error), "budget": budget(self.desk)}, status)

    async def _evaluate(self, request: web.Request) -> web.Response:
        answer = await self._answer(request)
        return _json(self._contract.evaluated(answer, self.desk))

    async def _evaluate_examples(self, request: web.Request) -> web.Response:
        answer = await self._answer(request)
        return _json(self._contract.evaluated_examples(answer, self.desk))

    async def _status(self, request: web.Request) -> web.Response:
        return _json(self._contract.status(self.desk))

    async def _task(self, request: web.Request) -> web.Response:
        return _json(self._contract.described(self._candidates))

    async def _answer(self, request: web.Request) -> Answer:
        if self.desk.closing:
            raise ClosingError("the server is closing")
        body = await request.read()
        loop = asyncio.get_running_loop()
        files = await loop.run_in_executor(self._executor, self._files, body)
        return await self.desk.evaluate(files)

    def _files(self, body: bytes) -> dict[str, TreeFile]:
        """The candidate's files. Blocking: called in the pool."""
        document = parse(body, max_bytes=MAX_BODY_BYTES)
        if not isinstance(document, dict) or "candidate" not in document:
            raise SubmissionRefusedError("the body must be a JSON object with 'candidate'")
        _check_examples(document)
        return self._candidates.tree(document["candidate"])


def _check_examples(document: dict[str, Json]) -> None:
    """Clients may name no example: there is none. (`example_id` means nothing, as with GEPA.)"""
    if document.get("example_ids"):
        raise SubmissionRefusedError("'example_ids': the task has no data set; leave it out")


def _json(
    document: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    text = redact(json.dumps(document, allow_nan=False))
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def serving(service: EvaluatorService, host: str, port: int) -> AsyncGenerator[str]:
    """Serve while the block runs; yields the address. At its end what is under way is cut off.

    Raises:
        ConfigurationError: Nothing can listen there.
    """
    runner = web.AppRunner(service.application(), access_log=None, shutdown_timeout=_ANSWERING_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"nothing can listen at {host} port {port}: {error}",
                expected="an address of this machine and a port that is free",
                action="leave out --host for this machine only, and --port for any free one",
            ) from error
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{runner.addresses[0][1]}"
    finally:
        # First: requests that wait for a verdict get their answer while connections are open.
        await service.desk.close()
        await runner.cleanup()
