"""Calls a judge of the kind `serve`: python -I serve_judge.py FILE FUNCTION PRIVATE SEED.

It runs beside `judge_runner.py` and `harness_serve.py`, without the harness. Requests go out on
what was standard output and answers come in on standard input, as `harness_serve.py` describes;
the judge's own answer is the last message.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from harness.evaluators import judge_runner
    from harness.evaluators.inside import harness_serve
else:
    # Ahead of everything: with -I nothing of the judge's own is there yet.
    sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120
    import harness_serve
    import judge_runner


class CandidateError(Exception):
    """A function of the candidate raised. `type` and `message` are the candidate's own words."""

    def __init__(self, who: str, told: Mapping[str, str]) -> None:
        super().__init__(f"{told['type']}: {told['message']}")
        self.who = who
        self.type = told["type"]
        self.message = told["message"]


class CandidateEnded(BaseException):
    """The candidate answers no more. `status` and `evidence` are what the harness saw.

    Not an `Exception`, so that a judge does not catch it by accident: uncaught, it is the verdict.
    """

    def __init__(self, who: str, told: Mapping[str, str]) -> None:
        super().__init__(f"{told['status']}: {told['evidence']}")
        self.who = who
        self.status = told["status"]
        self.evidence = told["evidence"]


class Channel:
    """The line to the harness."""

    def __init__(self) -> None:
        self.source, self.target = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)

    def send(self, message: dict[str, Any]) -> None:
        harness_serve.write(self.target, harness_serve.encode(message))

    def ask(self, message: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The answer, and the seconds from the first byte sent to the last one received."""
        pieces = harness_serve.encode(message)
        began = time.perf_counter()
        harness_serve.write(self.target, pieces)
        answer = harness_serve.read(self.source)
        spent = time.perf_counter() - began
        if answer is None:
            raise SystemExit("the harness ended the conversation")
        return harness_serve.decode(*answer), spent


class Peer:
    """A program in another sandbox whose functions can be called."""

    Error = CandidateError
    Ended = CandidateEnded

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self._name = name
        self.seconds = 0.0
        """Of the last `call` or `hold`, by this process's clock: sending, answering, receiving."""

    def call(self, name: str, *args: Any) -> Any:
        """The value of a function.

        Values are None, booleans, numbers, texts, bytes, lists, dictionaries and NumPy arrays.

        Raises:
            CandidateError: It raised; the words are the candidate's.
            CandidateEnded: It crashed, was too late, or answered what is no answer.
        """
        return self._ask({"op": "call", "name": name, "args": list(args)})

    def hold(self, name: str, *args: Any) -> Commitment:
        """As `call`, but the value (arrays) stays there for the moment: only a hash is sent."""
        held = self._ask({"op": "hold", "name": name, "args": list(args)})
        spent = self.seconds

        def fetch() -> Any:
            value = self._ask({"op": "fetch", "name": held, "args": []})
            self.seconds = spent
            return value

        return Commitment(fetch)

    def wake(self) -> None:
        """With a baseline: have this one run and the other stand still, before a clock starts."""
        self._channel.ask({"op": "wake", "to": self._name})

    def _ask(self, request: dict[str, Any]) -> Any:
        answer, self.seconds = self._channel.ask({**request, "to": self._name})
        if "error" in answer:
            raise CandidateError(self._name, answer["error"])
        if "ended" in answer:
            raise CandidateEnded(self._name, answer["ended"])
        return answer["value"]


class Commitment:
    """A value that was promised by its hash and has not been sent."""

    def __init__(self, fetch: Callable[[], Any]) -> None:
        self.fetch = fetch
        """The value, once. What is not what was promised ends the candidate as *invalid*."""


class Candidate(Peer):
    """The submission; `baseline` is the task's own program, where it names one."""

    def __init__(self, channel: Channel, baseline: bool) -> None:
        super().__init__(channel, "candidate")
        self.baseline = Peer(channel, "baseline") if baseline else None


def main() -> None:
    """Answer, whatever the judge does."""
    file, function, private, seed, baseline = sys.argv[1:]
    channel = Channel()
    answer: dict[str, Any]
    try:
        judge = judge_runner.load(file, function)
        candidate = Candidate(channel, baseline == "baseline")
        answer = judge_runner.plain(judge(candidate, Path(private), int(seed)))
    except (CandidateError, CandidateEnded) as error:
        answer = {"stopped_by": error.who, "why": str(error)[:2000]}
    except BaseException as error:  # whatever the judge does, SystemExit too, its author is told
        import traceback

        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
    sys.stdout.flush()
    sys.stderr.flush()
    channel.send({"op": "answer", "answer": answer})


if __name__ == "__main__":
    main()
