"""What tests need of the machine: decided once, told in one line, never passed over in silence.

`HARNESS_REQUIRE_DOCKER=1`, `REQUIRE_BUBBLEWRAP=1` and `HARNESS_REQUIRE_RAY=1` turn the skips into
failures.
"""

import functools
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import settings

from harness.errors import SandboxUnavailableError
from harness.sandbox.config import SandboxConfig

# No deadlines: how long an example takes is the machine's. More with HYPOTHESIS_PROFILE=thorough.
settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@functools.cache
def docker_problem() -> str | None:
    """Why tests marked `docker` cannot run here; None when they can."""
    from harness.sandbox.docker_client import connect

    image = SandboxConfig().image
    try:
        client = connect(timeout_s=20)
    except SandboxUnavailableError as error:
        return str(error)
    try:
        if not client.images.list(name=image):
            return f"the image {image} is missing: harness image build"
    finally:
        client.close()
    return None


@functools.cache
def bubblewrap_problem() -> str | None:
    """Why tests marked `bubblewrap` cannot run here; None when they can."""
    program = shutil.which("bwrap")
    if program is None:
        return "bwrap is missing: apt-get install bubblewrap"
    tried = subprocess.run(
        [program, "--ro-bind", "/", "/", "--unshare-pid", "true"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return None if tried.returncode == 0 else f"bwrap does not work here: {tried.stderr.strip()}"


@functools.cache
def ray_problem() -> str | None:
    """Why tests marked `ray` cannot run here; None when they can."""
    found = importlib.util.find_spec("ray")
    return None if found else "Ray is missing: pip install 'research-harness[ray]'"


PROBLEMS: dict[str, tuple[Callable[[], str | None], str]] = {
    "docker": (docker_problem, "HARNESS_REQUIRE_DOCKER"),
    "bubblewrap": (bubblewrap_problem, "REQUIRE_BUBBLEWRAP"),
    "ray": (ray_problem, "HARNESS_REQUIRE_RAY"),
}


# A hook and not a fixture: so all skips are told from one place, in one line.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, (find_problem, variable) in PROBLEMS.items():
        problem = find_problem() if item.get_closest_marker(name) is not None else None
        if problem is None:
            continue
        if os.environ.get(variable) == "1":
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)
