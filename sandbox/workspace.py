"""An agent's work tree: how recorded trees get into it and out of it.

Two transports carry the files: a folder of this machine that the sandbox has mounted, or a tar
stream through commands in the sandbox where nothing can be mounted (remote daemons). Both refuse
the same things in the same words (`harness.sandbox.scan`).
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from harness.ids import TreeHash
from harness.sandbox.base import Sandbox
from harness.sandbox.placing import clear, place
from harness.sandbox.repository import Repository
from harness.sandbox.scan import SubmissionRules, scan
from harness.sandbox.tarstream import TarTransport
from harness.sandbox.tree import TreeFile

P = ParamSpec("P")
T = TypeVar("T")


class Transport(Protocol):
    """Carries the files of one work tree."""

    async def fill(self, files: Mapping[str, TreeFile]) -> None:
        """Make the work tree consist of exactly these files.

        Raises:
            SandboxUnavailableError: When the sandbox failed.
            OSError: When the folder cannot be emptied or written.
        """
        ...

    async def read(self) -> dict[str, TreeFile]:
        """The files that the rules select, sorted.

        Raises:
            SubmissionRefusedError: Something selected cannot be recorded.
            SandboxUnavailableError: When the sandbox failed.
        """
        ...


class FolderTransport:
    """Through a folder that the sandbox has mounted; the sandbox stands still meanwhile."""

    def __init__(
        self,
        sandbox: Sandbox,
        rules: SubmissionRules,
        folder: Path,
        owner: tuple[int, int] | None,
        executor: Executor,
    ) -> None:
        self._sandbox = sandbox
        self._rules = rules
        self._folder = folder
        self._owner = owner
        self._executor = executor

    async def fill(self, files: Mapping[str, TreeFile]) -> None:
        async with self._sandbox.frozen():
            await in_thread(self._executor, self._replace, files)

    def _replace(self, files: Mapping[str, TreeFile]) -> None:
        clear(self._folder)
        place(self._folder, files, self._owner)

    async def read(self) -> dict[str, TreeFile]:
        async with self._sandbox.frozen():
            return await in_thread(self._executor, scan, self._folder, self._rules)


class Workspace:
    """The work tree of one sandbox.

    With `folder`, files are read and written there (the source of the sandbox's writable mount at
    its working directory) and given to `owner`; without, they are streamed through commands.
    `executor` runs what blocks.

    **Concurrency**: methods may be called from several tasks of one event loop; they take turns.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        repository: Repository,
        rules: SubmissionRules,
        *,
        folder: Path | None,
        owner: tuple[int, int] | None,
        executor: Executor,
    ) -> None:
        self._repository = repository
        self._check = rules.check
        self._executor = executor
        self._turn = asyncio.Lock()
        self._transport: Transport = (
            TarTransport(sandbox, rules)
            if folder is None
            else FolderTransport(sandbox, rules, folder, owner, executor)
        )

    async def load(self, tree: TreeHash) -> None:
        """Make the workspace exactly that tree: everything else in it is removed.

        Raises:
            StoreError: When the tree is missing or damaged.
            SandboxUnavailableError: When the sandbox failed.
            OSError: When the folder cannot be emptied or written.
        """
        async with self._turn:
            files = await in_thread(self._executor, self._repository.files, tree)
            await self._transport.fill(files)

    async def snapshot(self) -> TreeHash:
        """Record what the rules select of the workspace, durably.

        Raises:
            SubmissionRefusedError: Something selected cannot be recorded; names it and says what
                the agent can do.
            SandboxUnavailableError: When the sandbox failed.
        """
        async with self._turn:
            files = await self._transport.read()
        if self._check is not None:
            self._check(files)
        return await in_thread(self._executor, self._repository.write_tree, files)


async def in_thread(
    executor: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run `function` in the executor; a cancelled caller still waits for its end.

    So a sandbox is not let go on while a thread works on its files.
    """
    running = asyncio.get_running_loop().run_in_executor(
        executor, lambda: function(*args, **kwargs)
    )
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # seen: asyncio would log it as lost
        raise
