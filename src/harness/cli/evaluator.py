"""`harness evaluator serve`: a task's evaluator for search engines of others."""

import asyncio
import math
import os
import re
import secrets
import signal
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from harness.attempt import Status
from harness.cli.evaluate import SandboxFlag, configured
from harness.cli.output import JsonFlag, format_score, print_record, say
from harness.errors import ConfigurationError
from harness.evaluators.open import open_evaluator
from harness.events import SCHEMA_VERSION
from harness.run.checks import require_isolation
from harness.run.config import RunConfig
from harness.tasks.base import Task
from harness.tasks.loader import load_task

TOKEN_VARIABLE = "HARNESS_EVALUATOR_TOKEN"
_TOKEN = re.compile(r"[!-~]{16,}")
LOOPBACK = "127.0.0.1"

app = cyclopts.App(name="evaluator", help="A task's evaluator for other programs.")


@dataclass(frozen=True, slots=True)
class _Offer:
    """What is served, where, and on which terms."""

    task: Task
    config: RunConfig
    host: str
    port: int
    limit: int | None
    token: str
    generated: bool
    failed_score: float
    json: bool


@app.command
def serve(
    task: str,
    /,
    *,
    port: int = 0,
    host: str = LOOPBACK,
    evals: int | None = None,
    token: str | None = None,
    failed_score: float | None = None,
    sandbox: SandboxFlag = None,
    unsafe: Annotated[bool, Parameter(negative=())] = False,
    json: JsonFlag = False,
) -> None:
    """Evaluate candidates that come over HTTP, by the contract of GEPA's evaluation server.

    Ends with Ctrl-C or SIGTERM; what is under way is cut off. docs/evaluator-serve.md has more.

    Parameters
    ----------
    task
        A library task (`harness task list`) or a task folder.
    port
        Port to listen on; 0 for any free one.
    host
        Address to listen on; the default is reached from this machine only.
    evals
        Evaluations, at most; by default the task's own budget.
    token
        What clients must show; by default $HARNESS_EVALUATOR_TOKEN, else one is made and printed.
    failed_score
        The score of candidates that get none; by default -1e12.
    unsafe
        Also in a sandbox that does not isolate code that a model wrote.
    json
        One JSON document, once the server listens.
    """
    from harness.web.evaluator.contract import FAILED_SCORE
    from harness.web.evaluator.desk import evaluations_of

    loaded = load_task(task)
    shown, generated = _token(token)
    offer = _Offer(
        task=loaded,
        config=configured(sandbox),
        host=host,
        port=_port(port),
        limit=evaluations_of(loaded, _evals(evals)),
        token=shown,
        generated=generated,
        failed_score=_finite(FAILED_SCORE if failed_score is None else failed_score),
        json=json,
    )
    asyncio.run(_until_signalled(_serve(offer, unsafe=unsafe)))


def _token(given: str | None) -> tuple[str, bool]:
    """The token, and whether it was made up just now."""
    token = given if given is not None else os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return secrets.token_hex(32), True
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            "the token is too short, or has characters that no header can carry",
            expected="at least 16 printable ASCII characters without blanks",
            action=f"leave out --token and {TOKEN_VARIABLE}: one is made and printed",
        )
    return token, False


def _evals(evals: int | None) -> int | None:
    if evals is not None and evals < 1:
        raise ConfigurationError(
            f"--evals is {evals}", expected="a number from 1", action="correct --evals"
        )
    return evals


def _port(port: int) -> int:
    if not 0 <= port < 2**16:
        raise ConfigurationError(
            f"--port is {port}", expected="a number from 0 to 65535", action="correct --port"
        )
    return port


def _finite(score: float) -> float:
    if not math.isfinite(score):
        raise ConfigurationError(
            f"--failed-score is {score}",
            expected="a finite number that is worse than every score",
            action="correct --failed-score",
        )
    return score


async def _until_signalled(serve: Coroutine[Any, Any, None]) -> None:
    """Run until SIGINT or SIGTERM, then clean up; a second one stops at once."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(serve)
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        for number in signals:
            loop.remove_signal_handler(number)
        say("closing: what is under way is cut off")
        task.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop)
    with suppress(asyncio.CancelledError):
        await task


async def _serve(offer: _Offer, *, unsafe: bool) -> None:
    # The HTTP server is loaded by who serves.
    from harness.web.evaluator.candidates import Candidates
    from harness.web.evaluator.contract import Contract
    from harness.web.evaluator.desk import EvaluationDesk, Scored
    from harness.web.evaluator.service import EvaluatorService, is_loopback, serving

    task, config = offer.task, offer.config
    candidates = Candidates(task)

    def told(scored: Scored) -> None:
        verdict = scored.verdict
        say(f"{scored.number}: {verdict.status} {format_score(verdict.score)}")
        if verdict.status is Status.EVALUATOR_ERROR:
            say("\n".join(stage.detail for stage in verdict.stages if stage.detail))

    async with open_evaluator(task, config.sandbox, config.evaluators) as opened:
        require_isolation(opened.capabilities, unsafe=unsafe or config.sandbox.unsafe)
        desk = EvaluationDesk(
            opened.pool,
            task.direction,
            limit=offer.limit,
            seed=config.seed,
            listener=told,
        )
        contract = Contract(task, offer.failed_score)
        service = EvaluatorService(desk, candidates, contract, offer.token, opened.executor)
        async with serving(service, offer.host, offer.port) as url:
            if not is_loopback(offer.host):
                say(
                    f"warning: {offer.host} is reached from other machines, and without TLS the "
                    "token and all candidates can be read on the way"
                )
            _announce(offer, url, opened.capabilities.name)
            await asyncio.Event().wait()


def _announce(offer: _Offer, url: str, sandbox: str) -> None:
    # The token is written this once; one that was given is not repeated.
    token = offer.token if offer.generated else None
    if offer.json:
        print_record(
            {
                "schema_version": SCHEMA_VERSION,
                "url": url,
                "token": token,
                "task": offer.task.name,
                "evaluations": offer.limit,
                "sandbox": sandbox,
            }
        )
        return
    print(f"{offer.task.name}: {url} (sandbox: {sandbox}, evaluations: {offer.limit or 'any'})")
    print(f"token: {token}" if token else "token: the given one", flush=True)
