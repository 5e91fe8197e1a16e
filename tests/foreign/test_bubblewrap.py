"""Tasks of other tools on bubblewrap."""

import pytest
from tests.contract.test_evaluator_bubblewrap import OnBubblewrap
from tests.foreign.contract import ForeignContract

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]


class TestForeignOnBubblewrap(OnBubblewrap, ForeignContract):
    """All formats."""
