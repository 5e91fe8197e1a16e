"""What every sandbox provider must do, checked for real.

Subclass `SandboxContract` and override the fixture `provider`. A guarantee that the provider says
it cannot give here (`Capabilities.not_enforced`) is a skip that names it; all else must hold.
Commands need `python3`, `sh`, `cat`, `env`, `seq`, `sleep` and `touch` inside the sandbox, and the
daemon, if there is one, on this machine.
"""

import pytest

pytest.register_assert_rewrite(
    "harness.testing.sandbox.bounds",
    "harness.testing.sandbox.calls",
    "harness.testing.sandbox.egress",
    "harness.testing.sandbox.running",
    "harness.testing.sandbox.streaming",
)

from harness.testing.sandbox.bounds import BoundsChecks  # noqa: E402 - after the registration
from harness.testing.sandbox.calls import CallsChecks  # noqa: E402
from harness.testing.sandbox.egress import EgressChecks  # noqa: E402
from harness.testing.sandbox.fixtures import OpenSandbox, host_processes  # noqa: E402
from harness.testing.sandbox.running import RunningChecks  # noqa: E402
from harness.testing.sandbox.streaming import StreamingChecks  # noqa: E402

__all__ = ["OpenSandbox", "SandboxContract", "host_processes"]


class SandboxContract(RunningChecks, StreamingChecks, BoundsChecks, CallsChecks, EgressChecks):
    """The whole contract; one subclass per provider."""
