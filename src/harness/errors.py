"""The error tree.

    HarnessError
    ├── UserError                    the user's mistake: three lines, exit code 2, no traceback
    │   ├── TaskError                a task folder that cannot be used
    │   ├── ConfigurationError       flags, environment or harness.yaml
    │   └── RunNotFoundError         (also LookupError)
    ├── SubmissionRefusedError       a work tree that cannot be recorded; told to the agent
    ├── InfrastructureError          our side failed; retried within bounds, not the candidate
    │   ├── SandboxUnavailableError  the sandbox died or its provider does not answer
    │   ├── EvaluatorFailedError     the judge raised or answered nonsense
    │   └── ModelUnavailableError    the model endpoint does not answer
    ├── ModelRefusedError            the endpoint refuses the request for good: key, model name
    ├── ContextTooLongError          the request does not fit the model; shorten it and ask again
    ├── BudgetExhaustedError         a call that would exceed the budget was not made
    └── StoreError                   the run's own files are damaged or of a newer version

What a candidate does (crash, time-out, out of memory …) is a `Verdict`, never an exception.
"""


class HarnessError(Exception):
    """Root of everything this package raises on purpose."""


class UserError(HarnessError):
    """A mistake of the person at the keyboard, told in three lines.

    Args:
        wrong: What is wrong, with the offending value.
        expected: What was expected.
        action: What to do: a command, a file and key, a package to install.
    """

    def __init__(self, wrong: str, *, expected: str, action: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.expected = expected
        self.action = action

    def __str__(self) -> str:
        return f"{self.wrong}\n  expected: {self.expected}\n  to do:    {self.action}"


class TaskError(UserError):
    """A task folder that cannot be used; names the file and the key."""


class ConfigurationError(UserError):
    """A flag, an environment variable or a key of harness.yaml that cannot be used."""


class RunNotFoundError(UserError, LookupError):
    """No run of that name, id or path."""


class SubmissionRefusedError(HarnessError):
    """A work tree that cannot be recorded (links that leave it, special or huge files …).

    The message names the path and says what the agent can do.
    """


class InfrastructureError(HarnessError):
    """Our side failed, not the candidate."""


class SandboxUnavailableError(InfrastructureError):
    """The sandbox is gone or its provider does not answer; kept apart from "the command failed"."""


class EvaluatorFailedError(InfrastructureError):
    """The judge raised or answered something that is not a verdict."""


class ModelUnavailableError(InfrastructureError, ConnectionError):
    """The model endpoint does not answer, after the retries."""


class ModelRefusedError(HarnessError):
    """The endpoint refuses the request for good (401, 403, 404, 400)."""


class ContextTooLongError(HarnessError):
    """The request does not fit the model's context window, or what the endpoint takes at once.

    Args:
        limit: Tokens that fit, prompt and answer together, as the endpoint says; None where it
            does not.
        requested: Tokens that it counted in the request; None where it does not say.
    """

    def __init__(
        self, message: str, *, limit: int | None = None, requested: int | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.requested = requested


class BudgetExhaustedError(HarnessError):
    """The budget does not allow the call; it was not made.

    Args:
        budget: Which one: `evaluations`, `hours`, `tokens` or `usd`.
    """

    def __init__(self, message: str, *, budget: str = "evaluations") -> None:
        super().__init__(message)
        self.budget = budget


class QuotaUsedError(BudgetExhaustedError):
    """One agent has had all the evaluations that the task allows it; others may have more."""


class StoreError(HarnessError):
    """The run's own files are damaged, locked by a live run, or written by a newer version."""
