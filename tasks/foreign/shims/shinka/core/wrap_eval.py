"""Where evaluators of earlier versions import it from."""

from shinka.core import run_shinka_eval

__all__ = ["run_shinka_eval"]
