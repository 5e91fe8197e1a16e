"""What the command of a local sandbox sees: the interpreter, the folders, the environment.

The file system is put together from links and mounts sorted by depth: a folder is always there
before what lies in it. So it does not matter where on the host the interpreter is: below a folder
that commands have a private one of (`/tmp`), below one they may not enter, or below a mount.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, count
from pathlib import Path, PurePosixPath

from harness.sandbox.base import Limits, Mount, SandboxSpec
from harness.sandbox.files import Owner
from harness.sandbox.interpreter import SYSTEM, Interpreter, closed_step

USER_NAME = "agent"
HOME = f"/home/{USER_NAME}"

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
_OURS = ("/proc", "/dev", "/sys", "/etc", *SYSTEM)
"""Where no mount of a spec may lie."""
_ELSEWHERE = "/sandbox"
_COVER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host, seen at `target`."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """An empty folder in memory, new for each command."""

    target: str
    size_bytes: int
    mode: int


Step = Bind | Tmpfs


@dataclass(frozen=True, slots=True)
class PrivateFolders:
    """The sandbox's own folders on the host, below one that `close` removes."""

    root: Path
    owner: Owner | None = None
    """uid and gid of the commands; None: our own."""

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
    def passwd(self) -> Path:
        return self.root / "passwd"

    @property
    def group(self) -> Path:
        return self.root / "group"

    @property
    def view(self) -> Path:
        """Where a file system is put together; always empty on the host."""
        return self.root / "view"

    @property
    def shown(self) -> tuple[Path, ...]:
        """What commands see."""
        return self.home, self.tmp, self.passwd, self.group


_NAMED = PrivateFolders(Path("//private"))
_NAMED_MOUNTS = Path("//mounts")
"""No paths of the machine: what stands for them in a planned layout."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, for commands (`targets`, `home` …) and on the host (`folder`)."""

    steps: tuple[Step, ...]
    """What is mounted, parents first."""
    links: tuple[tuple[str, str], ...]
    """Links in the root folder: where, and what to."""
    points: tuple[tuple[Path, str], ...]
    """Folders that must be there before each command, to mount on: below which one, and where."""
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
        steps=(),
        links=(),
        points=(),
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
    named = tuple(
        Mount(_NAMED_MOUNTS / str(number), mount.target, read_only=mount.read_only)
        for number, mount in enumerate(mounts)
    )
    plan = _planned(
        spec.python, spec.workdir, named, spec.network == "host", spec.limits.scratch_bytes
    )
    sources = {name.source: mount.source for name, mount in zip(named, mounts, strict=True)}
    for name, path in zip(_NAMED.shown, private.shown, strict=True):
        sources[name] = path
    return replace(
        plan,
        steps=tuple(_at(step, sources) for step in plan.steps),
        points=tuple((sources.get(source, source), target) for source, target in plan.points),
        folder=_working_folder(spec.workdir, mounts)[0],
    )


def _at(step: Step, sources: Mapping[Path, Path]) -> Step:
    if isinstance(step, Bind) and (source := sources.get(step.source)) is not None:
        return Bind(source, step.target, step.read_only)
    return step


@lru_cache(maxsize=32)
def _planned(
    python: Path | None,
    workdir: str,
    mounts: tuple[Mount, ...],
    names: bool,
    scratch_bytes: int,
) -> Layout:
    """A layout whose private folders and mounts have names for their sources.

    Looking at the machine costs 10 ms and tells the same for each sandbox of a run.
    """
    interpreter = Interpreter.find(python)
    folder, mount = _working_folder(workdir, mounts)
    # An interpreter only works where it was installed, so a mount must not lie over it.
    shift = _shift([mount.target for mount in mounts], interpreter.prefixes)
    tmp, home = (_beside(name, interpreter.prefixes) for name in ("/tmp", HOME))
    system = [Path(name) for name in SYSTEM if Path(name).exists()]
    steps: list[Step] = [*_shared(system, names=names)]
    steps.append(Tmpfs("/dev/shm", scratch_bytes, 0o1777))
    # Not a link to /tmp: the interpreter may lie below.
    for target in (tmp, _beside("/var/tmp", interpreter.prefixes)):
        steps.append(Bind(_NAMED.tmp, target, read_only=False))
    steps.append(Bind(_NAMED.home, home, read_only=False))
    for prefix in interpreter.prefixes:
        steps += _prefix(prefix, steps)
    steps += [Bind(mount.source, shift + mount.target, mount.read_only) for mount in mounts]
    ordered = _ordered(steps)
    return Layout(
        steps=ordered,
        links=tuple((str(path), str(path.readlink())) for path in system if path.is_symlink()),
        points=tuple(_points(ordered)),
        targets={mount.target: shift + mount.target for mount in mounts},
        workdir=shift + workdir,
        folder=folder,
        writable=not mount.read_only,
        home=home,
        tmp=tmp,
        programs=interpreter.programs,
    )


def _shared(system: list[Path], *, names: bool) -> Iterator[Bind]:
    """The machine's programs and settings, and the sandbox's own list of users."""
    wanted = (*_SETTINGS, *_NAMES) if names else _SETTINGS
    settings = [Path(name) for name in wanted if Path(name).exists()]
    for path in [*(path for path in system if not path.is_symlink()), *settings]:
        yield Bind(path, str(path))
    for path in (_NAMED.passwd, _NAMED.group):
        yield Bind(path, f"/etc/{path.name}")


def _prefix(prefix: Path, steps: Sequence[Step]) -> Iterator[Step]:
    """Show a folder of the interpreter to a uid that may not get there on the host."""
    above = _nearest(str(prefix), steps)
    # In a folder of ours anything can be mounted; in one of the host, closed folders are covered.
    shared = isinstance(above, Bind) and above.read_only
    closed = closed_step(Path(above.target) if above and shared else prefix.parent, prefix)
    if closed is not None:
        yield Tmpfs(str(closed), _COVER_BYTES, 0o755)
    # Of a folder that is closed itself, its content in a folder that is not.
    shown = [prefix] if closed_step(prefix.parent, prefix) is None else sorted(prefix.iterdir())
    for path in shown:
        yield Bind(path, str(path))


def _nearest(target: str, steps: Sequence[Step]) -> Step | None:
    """The innermost mount that `target` lies in."""
    parents = PurePosixPath(target).parents
    above = [step for step in steps if PurePosixPath(step.target) in parents]
    return max(above, key=_depth, default=None)


def _depth(step: Step) -> int:
    return len(PurePosixPath(step.target).parts)


def _ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Parents first; of two at the same place, the later one."""
    return tuple(sorted({step.target: step for step in steps}.values(), key=_depth))


def _points(steps: Sequence[Step]) -> Iterator[tuple[Path, str]]:
    """Where mounts lie in folders that commands write to."""
    for step in steps:
        above = _nearest(step.target, steps)
        if isinstance(above, Bind) and not above.read_only:
            yield above.source, str(PurePosixPath(step.target).relative_to(above.target))


def _shift(targets: Sequence[str], prefixes: Sequence[Path]) -> str:
    """What to put before all targets so that none lies over or in what must stay as it is."""
    fixed = [*map(Path, _OURS), *prefixes]
    return next(
        shift
        for shift in chain(("", _ELSEWHERE), (f"{_ELSEWHERE}-{number}" for number in count(2)))
        if not any(_overlap(Path(shift + target), place) for target in targets for place in fixed)
    )


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _beside(target: str, prefixes: Sequence[Path]) -> str:
    """A private folder's place, which is another one where the interpreter itself lies there."""
    taken = any(Path(target).is_relative_to(prefix) for prefix in prefixes)
    return _ELSEWHERE + target if taken else target


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
