"""What follows from what a Docker daemon says of itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import Guarantee
from harness.sandbox.docker_engine import (
    HOLES,
    Version,
    affected,
    check_runtime,
    components,
    lacking,
    mounts_work,
    parse_version,
    warnings,
)

NUMBERS = st.integers(0, 99)
ROOTLESS: dict[str, Any] = {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]}
PODMAN: dict[str, Any] = {"SecurityOptions": ["seccomp", "rootless"]}


def engine(desktop: str = "", **parts: str) -> dict[str, Any]:
    found = [{"Name": name, "Version": version} for name, version in parts.items()]
    return {"Platform": {"Name": desktop}, "Components": found}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.1.5+ds1", (1, 1, 5)),
        ("v27.0", (27, 0, 0)),
        ("1.3.3-rc.1", (1, 3, 2)),
        ("1.0.0-rc93", (1, -1, 10**6)),
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("unknown", None),
        ("", None),
    ],
)
def test_versions(text: str, version: Version | None) -> None:
    assert parse_version(text) == version


@given(NUMBERS, NUMBERS, NUMBERS)
def test_any_version_is_read(major: int, minor: int, patch: int) -> None:
    assert parse_version(f"{major}.{minor}.{patch}~rest-1") == (major, minor, patch)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_newer_than_the_last_correction_is_well(version: Version) -> None:
    for hole in HOLES:
        newest = parse_version(hole.fixed[-1])
        assert newest is not None
        if version >= newest:
            assert not affected(version, hole.fixed)
        if version < min(filter(None, map(parse_version, hole.fixed))):
            assert affected(version, hole.fixed)


@pytest.mark.parametrize(
    ("runc", "names"),
    [
        ("1.0.0-rc6", 6),
        ("1.1.11", 4),
        ("1.1.12", 3),
        ("1.2.7", 3),
        ("1.2.8", 0),
        ("1.2.9", 0),
        ("1.3.2", 3),
        ("1.3.3-rc.1", 3),
        ("1.3.3", 0),
        ("1.4.0", 0),
        ("2.0.0", 0),
        ("what", 0),
    ],
)
def test_holes_of_runc(runc: str, names: int) -> None:
    told = "".join(warnings(engine(runc=runc)))
    assert told.count("CVE-") == names


def test_docker_desktop_is_told_by_its_platform() -> None:
    old = engine("Docker Desktop 4.43.1 (198352)", Engine="28.3.0")
    assert components(old)["Docker Desktop"] == "4.43.1"
    assert "CVE-2025-9074" in warnings(old)[0]
    assert warnings(engine("Docker Desktop 4.44.3 (202357)")) == ()
    assert warnings({}) == ()


def test_a_runtime_must_be_known() -> None:
    info: dict[str, Any] = {"Runtimes": {"runc": {}, "runsc": {}}}
    check_runtime(None, info)
    check_runtime("runsc", info)
    check_runtime("kata", {})  # an engine that does not say
    with pytest.raises(SandboxUnavailableError, match="'kata', only runc, runsc"):
        check_runtime("kata", info)


@pytest.mark.parametrize("info", [ROOTLESS, PODMAN])
def test_rootless_engines_get_files_by_streams(info: dict[str, Any]) -> None:
    assert not mounts_work("unix:///run/user/1000/docker.sock", info)
    assert Guarantee.SYSTEM_CALLS not in lacking(
        info, runtime=None, seccomp=True, separate_user=True
    )


def test_what_is_lacking_is_told() -> None:
    info = {"MemoryLimit": False, "PidsLimit": False, "CpuCfsQuota": False}
    assert lacking(info, runtime=None, seccomp=True, separate_user=False) == {
        Guarantee.MEMORY,
        Guarantee.PIDS,
        Guarantee.CPUS,
        Guarantee.SYSTEM_CALLS,
        Guarantee.USER,
    }
    seccomp = {"SecurityOptions": ["name=seccomp,profile=default"]}
    assert lacking(seccomp, runtime=None, seccomp=False, separate_user=True) == {
        Guarantee.SYSTEM_CALLS
    }
