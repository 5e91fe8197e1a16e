"""The suite's proposer and the problem's score behind an OpenAI-compatible endpoint.

Two models are served: `proposer` answers prompts for programs, `judge` the source of a program with
its score. So a package's evaluator, in whatever process of whatever environment, asks the one
function that scores and counts for everybody.
"""

import random
import threading
from collections.abc import Sequence
from typing import Self

from benchmarks.search.drive import Course
from benchmarks.search.packages.dialects import Dialect
from benchmarks.search.packages.source import read
from benchmarks.search.problems import Problem
from benchmarks.search.proposer import propose

from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, refusal, text

PROPOSER, JUDGE = "proposer", "judge"


class ModelServer:
    """A context manager: answers at `url` while entered.

    Args:
        problem: Without failures and noise, since each package has other words for them.
        dialect: How the client's prompts are read and answered.
        rng: What the proposer draws from.
    """

    def __init__(self, problem: Problem, dialect: Dialect, rng: random.Random) -> None:
        if problem.failing or problem.noise:
            raise ValueError("the packages' own conventions for failures would differ")
        self.rng = rng
        self.scores: list[float] = []
        """Of every evaluation asked for, in order; the seed's is among them."""
        self.proposals = 0
        """Programs that were asked for and written."""
        self.refused: list[str] = []
        """Why prompts could not be answered."""
        self._problem, self._dialect = problem, dialect
        self._lock = threading.Lock()
        self._endpoint = ScriptedEndpoint(self._answer)

    @property
    def url(self) -> str:
        """Base address for a client, ending in `/v1`."""
        return self._endpoint.url

    def __enter__(self) -> Self:
        self._endpoint.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._endpoint.kill()

    def _answer(self, request: Request) -> Reply:
        contents = {each["role"]: _words(each["content"]) for each in request.messages}
        prompt = contents.get("user", "")
        with self._lock:
            try:
                if request.body.get("model") == JUDGE:
                    return text(self._judge(prompt))
                return text(self._propose(contents.get("system", ""), prompt))
            except ValueError as error:
                self.refused.append(f"{error}: {prompt[:2000]}")
                return refusal(400, str(error))

    def _judge(self, content: str) -> str:
        self.scores.append(self._problem.true(read(content)))
        return repr(self.scores[-1])

    def _propose(self, system: str, prompt: str) -> str:
        wish = self._dialect.read(system, prompt)
        child = propose(
            self._problem, wish.operator, wish.base, wish.parent, wish.references, self.rng
        )
        self.proposals += 1
        return self._dialect.write(wish, child)


def _words(content: str | Sequence[dict[str, str]]) -> str:
    """A message's text, which clients send whole or in parts."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def curve(scores: Sequence[float], evaluations: int) -> Course:
    """The best so far after each of the first `evaluations`, its last value held to their end.

    Raises:
        ValueError: Without any score.
    """
    if not scores:
        raise ValueError("nothing was evaluated")
    best: list[float] = []
    for score in scores[:evaluations]:
        best.append(max(score, best[-1]) if best else score)
    return Course(best + best[-1:] * (evaluations - len(best)), [])
