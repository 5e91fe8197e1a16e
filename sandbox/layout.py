"""What the command of a local sandbox sees: the interpreter, the folders, the environment."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import SandboxUnavailableError
from harness.sandbox.base import Limits, Mount, SandboxSpec

USER_NAME = "agent"
HOME = f"/home/{USER_NAME}"

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/sys/devices/system/cpu",
)
_NAMES = ("/etc/hosts", "/etc/resolv.conf")
_ELSEWHERE = "/sandbox"


@dataclass(frozen=True, slots=True)
class Bind:
    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python to run: the folder of its programs, and the folders it needs to be seen at."""

    programs: Path
    prefixes: tuple[Path, ...]

    @classmethod
    def find(cls, environment: Path | None) -> "Interpreter":
        """The one of a virtual environment, or the harness's own.

        Raises:
            SandboxUnavailableError: The folder has no interpreter.
        """
        prefix = Path(sys.prefix) if environment is None else environment.absolute()
        programs = prefix / "bin"
        program = programs / "python3"
        if not program.exists():
            raise SandboxUnavailableError(f"no Python interpreter at {program}")
        found = [prefix, program.resolve().parents[1]]
        if environment is None:
            found.append(Path(sys.base_prefix))
        settings = prefix / "pyvenv.cfg"
        if settings.exists():
            for line in settings.read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition("=")
                if key.strip() == "home":
                    found.append(Path(value.strip()).parent)
        return cls(programs, tuple(_outermost(found)))


def _outermost(folders: list[Path]) -> Iterator[Path]:
    kept: list[Path] = []
    for folder in sorted(set(folders)):
        inside = any(folder.is_relative_to(other) for other in (*map(Path, _SYSTEM), *kept))
        if not inside and folder != Path("/"):
            kept.append(folder)
            yield folder


@dataclass(frozen=True, slots=True)
class PrivateFolders:
    """The sandbox's own folders on the host, below one that `close` removes."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def work(self) -> Path:
        """The working directory of a spec that mounts nothing there."""
        return self.root / "work"

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def view(self) -> Path:
        """Where a file system is put together; always empty on the host."""
        return self.root / "view"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, for commands (`targets`, `home` …) and on the host (`folder`)."""

    binds: tuple[Bind, ...]
    links: tuple[tuple[str, str], ...]
    targets: Mapping[str, str]
    workdir: str
    folder: Path
    """The working directory on the host."""
    writable: bool
    home: str
    tmp: str
    programs: Path


def mounts_of(spec: SandboxSpec, private: PrivateFolders) -> tuple[Mount, ...]:
    """The mounts of a spec, with one for the working directory when none covers it."""
    workdir = PurePosixPath(spec.workdir)
    if any(workdir.is_relative_to(mount.target) for mount in spec.mounts):
        return spec.mounts
    return (Mount(private.work, spec.workdir, read_only=False), *spec.mounts)


def _working_folder(workdir: str, mounts: tuple[Mount, ...]) -> tuple[Path, Mount]:
    path = PurePosixPath(workdir)
    covering = [mount for mount in mounts if path.is_relative_to(mount.target)]
    mount = max(covering, key=lambda mount: len(PurePosixPath(mount.target).parts))
    return mount.source / path.relative_to(mount.target), mount


def host_layout(spec: SandboxSpec, private: PrivateFolders) -> Layout:
    """Commands see the host's file system as it is."""
    mounts = mounts_of(spec, private)
    folder, mount = _working_folder(spec.workdir, mounts)
    return Layout(
        binds=(),
        links=(),
        targets={mount.target: str(mount.source) for mount in mounts},
        workdir=str(folder),
        folder=folder,
        writable=not mount.read_only,
        home=str(private.home),
        tmp=str(private.tmp),
        programs=Interpreter.find(spec.python).programs,
    )


def own_layout(spec: SandboxSpec, private: PrivateFolders) -> Layout:
    """Commands see the system's programs, their interpreter, their mounts, and nothing else."""
    mounts = mounts_of(spec, private)
    interpreter = Interpreter.find(spec.python)
    folder, mount = _working_folder(spec.workdir, mounts)
    # An interpreter only works where it was installed, so a mount must not lie over it.
    shift = _ELSEWHERE if _overlap(mounts, interpreter.prefixes) else ""
    system = [Path(name) for name in _SYSTEM if Path(name).exists()]
    settings = [Path(name) for name in _SETTINGS if Path(name).exists()]
    if spec.network == "host":
        settings += [Path(name) for name in _NAMES if Path(name).exists()]
    shared = [path for path in system if not path.is_symlink()] + settings
    binds = [Bind(path, str(path)) for path in shared]
    binds += [Bind(path, f"/etc/{path.name}") for path in sorted(private.etc.iterdir())]
    binds += [Bind(private.tmp, "/tmp", read_only=False), Bind(private.home, HOME, read_only=False)]
    binds += [Bind(path, str(path)) for path in interpreter.prefixes]
    binds += [Bind(mount.source, shift + mount.target, mount.read_only) for mount in mounts]
    links = [(str(path), str(path.readlink())) for path in system if path.is_symlink()]
    return Layout(
        binds=tuple(binds),
        links=(*links, ("/var/tmp", "/tmp")),
        targets={mount.target: shift + mount.target for mount in mounts},
        workdir=shift + spec.workdir,
        folder=folder,
        writable=not mount.read_only,
        home=HOME,
        tmp="/tmp",
        programs=interpreter.programs,
    )


def _overlap(mounts: tuple[Mount, ...], prefixes: tuple[Path, ...]) -> bool:
    targets = [Path(mount.target) for mount in mounts]
    return any(
        target.is_relative_to(prefix) or prefix.is_relative_to(target)
        for target in targets
        for prefix in prefixes
    )


def environment(spec: SandboxSpec, layout: Layout, limits: Limits) -> dict[str, str]:
    """All that a command finds in its environment."""
    threads = str(max(1, int(limits.cpus)))
    return {
        "PATH": f"{layout.programs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": layout.home,
        "USER": USER_NAME,
        "LOGNAME": USER_NAME,
        "LANG": "C.UTF-8",
        "TMPDIR": layout.tmp,
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_AUTHOR_NAME": USER_NAME,
        "GIT_AUTHOR_EMAIL": f"{USER_NAME}@localhost",
        "GIT_COMMITTER_NAME": USER_NAME,
        "GIT_COMMITTER_EMAIL": f"{USER_NAME}@localhost",
        "OMP_NUM_THREADS": threads,
        "CUDA_VISIBLE_DEVICES": ",".join(spec.gpus),
        **spec.env,
    }
