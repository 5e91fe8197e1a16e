"""The Python packages that a task declares: looked for here, else installed once and kept.

A virtual environment is built per set of requirements and interpreter, in place (it cannot be
moved), under a lock; the file `.complete` in it says that it is whole.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.errors import TaskError

COMPLETE = ".complete"
CACHE_VARIABLE = "HARNESS_CACHE"
BUILD_TIMEOUT_S = 1800


def parse_requirements(lines: Sequence[str], where: str) -> list[Requirement]:
    """The requirements that apply to this interpreter.

    Raises:
        TaskError: When a line is not a requirement; `where` names file and key.
    """
    found: list[Requirement] = []
    for index, line in enumerate(lines):
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise TaskError(
                f"{where}[{index}] is {line!r}: {str(error).splitlines()[0]}",
                expected="a requirement such as `numpy>=2`; options of pip are not allowed",
                action=f"correct {where}",
            ) from None
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(requirement)
    return found


def unmet(
    requirements: Sequence[Requirement], version_of: Callable[[str], str | None]
) -> list[Requirement]:
    """Those that the installed versions don't meet. URLs and extras never count as met."""
    missing: list[Requirement] = []
    for requirement in requirements:
        version = version_of(canonicalize_name(requirement.name))
        met = version is not None and requirement.specifier.contains(version, prereleases=True)
        if not met or requirement.url is not None or requirement.extras:
            missing.append(requirement)
    return missing


def installed_here(name: str) -> str | None:
    """Version of a distribution in this interpreter's environment."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class Setup:
    """Shell commands that complete an environment, run once in a copy of `files`."""

    commands: tuple[str, ...]
    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """The same for the same commands and files."""
        digest = hashlib.sha256("\0".join(self.commands).encode())
        for name, data in sorted(self.files.items()):
            digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        return digest.hexdigest()


def environment_for(
    lines: Sequence[str], where: str, cache: Path | None = None, setup: Setup | None = None
) -> Path | None:
    """A virtual environment with the requirements; None when this one has them already.

    With `setup` there always is one, and its commands have been run in it.

    Blocking, minutes the first time. Safe to call from several processes at once.

    Raises:
        TaskError: A requirement is malformed, or cannot be installed.
    """
    requirements = parse_requirements(lines, where)
    if setup is None and not unmet(requirements, installed_here):
        return None
    wanted = sorted(str(requirement) for requirement in requirements)
    folder = (cache or cache_folder()) / _key(wanted, setup)
    if not (folder / COMPLETE).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            if not (folder / COMPLETE).is_file():
                _build(folder, wanted, where, setup)
    return folder


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where environments are kept: HARNESS_CACHE, else the user's cache.

    As root that may lie where a sandbox's uid cannot go; then it is below /var/cache.
    """
    if environ.get(CACHE_VARIABLE):
        return Path(environ[CACHE_VARIABLE]).expanduser().resolve() / "environments"
    own = platformdirs.user_cache_path("harness")
    if os.geteuid() == 0 and not _anyone_reaches(own):
        own = Path("/var/cache/harness")
    return own / "environments"


def _anyone_reaches(folder: Path) -> bool:
    existing = [each for each in (folder, *folder.parents) if each.exists()]
    return all(each.stat().st_mode & stat.S_IXOTH for each in existing)


def _key(wanted: Sequence[str], setup: Setup | None) -> str:
    parts = [sys.implementation.name, platform.python_version(), platform.machine()]
    parts += [str(Path(sys.base_prefix).resolve()), *wanted]
    parts += [] if setup is None else [setup.digest]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back


def _build(folder: Path, wanted: Sequence[str], where: str, setup: Setup | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        # Not --system-site-packages: what happens to be installed must not decide a score.
        _run([sys.executable, "-m", "venv", str(folder)], wanted, where)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input", "--quiet"]
        if wanted:
            _run([*pip, "--disable-pip-version-check", *wanted], wanted, where)
        if setup is not None:
            _set_up(folder, setup, where)
        draft = folder / f"{COMPLETE}.tmp"
        draft.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        draft.rename(folder / COMPLETE)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _set_up(folder: Path, setup: Setup, where: str) -> None:
    """Run the commands with the environment's programs first on the path."""
    with tempfile.TemporaryDirectory(prefix="harness-setup-") as work:
        for name, data in setup.files.items():
            file = Path(work, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        path = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environ = {**os.environ, "VIRTUAL_ENV": str(folder), "PATH": path}
        environ.pop("PYTHONHOME", None)
        for command in setup.commands:
            output, failed = _ended(["sh", "-c", command], cwd=work, env=environ)
            if failed:
                lines = [line for line in output.splitlines() if line.strip()][-8:]
                raise TaskError(
                    f"{where}: `{command}` failed:\n" + "\n".join(lines or ["no output"]),
                    expected="commands that end well in a copy of evaluator/",
                    action="correct the command, or install what it needs",
                )


def _ended(
    argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> tuple[str, bool]:
    """What a command printed, and whether it failed."""
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=BUILD_TIMEOUT_S,
            umask=0o022,
            cwd=cwd,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {BUILD_TIMEOUT_S} s", True
    return ended.stdout.decode("utf-8", "replace"), ended.returncode != 0


def _run(argv: Sequence[str], wanted: Sequence[str], where: str) -> None:
    output, failed = _ended(argv)
    if not failed:
        return
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["no output"])[-1]
    if "ensurepip" in output:
        reason = "this Python has no ensurepip (on Debian: apt install python3-venv)"
    raise TaskError(
        f"{where}: {', '.join(wanted)} cannot be installed: {reason}",
        expected="these packages from the index that pip is configured for, or installed already",
        action=f"set PIP_INDEX_URL, or install them beside the harness: {sys.executable} -m pip "
        f"install {' '.join(repr(each) for each in wanted)}",
    )
