"""The command line of the end-to-end tests."""

from tests.e2e.conftest import cli as cli
