"""Tasks of other tools on the process sandbox."""

from tests.contract.test_evaluator_process import OnProcesses
from tests.foreign.contract import ForeignContract


class TestForeignOnProcesses(OnProcesses, ForeignContract):
    """All formats."""
