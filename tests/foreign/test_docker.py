"""Tasks of other tools on Docker: that they run there, and what does not depend on the sandbox's
Python is not checked once more."""

import pytest
from tests.contract.test_evaluator_docker import OnDocker
from tests.foreign.contract import ForeignBasics

pytestmark = [pytest.mark.docker, pytest.mark.slow]


class TestForeignOnDocker(OnDocker, ForeignBasics):
    """All formats."""
