"""Opening a memory."""

import asyncio
from concurrent.futures import Executor
from pathlib import Path

from harness.clock import Clock
from harness.errors import ConfigurationError
from harness.memory.base import MemoryConfig
from harness.memory.embedders import Embedder, calibrate, make_embedder
from harness.memory.folder import DATABASE, memory_folder, refuse_network
from harness.memory.index import DenseIndex
from harness.memory.ranking import Weights
from harness.memory.rows import EmbedderRow
from harness.memory.schema import open_database, open_readonly
from harness.memory.sqlite import SqliteMemory
from harness.memory.store import Store
from harness.memory.tuning import Tuner


async def open_memory(config: MemoryConfig, executor: Executor, *, clock: Clock) -> SqliteMemory:
    """The memory that `config` names, made if missing; for reading and writing.

    Args:
        config: Settings; the folder is `config.path`, else `$HARNESS_MEMORY`, else the user's own.
        executor: Where blocking work is done; two threads are enough.
        clock: Dates of the log's entries.

    Raises:
        ConfigurationError: Another embedder than the memory's, an unknown one, or a folder on a
            network file system or that cannot be written.
        ModelUnavailableError: A new memory whose embedder does not answer.
        StoreError: Damaged, or written by a newer version.
    """

    def opened() -> SqliteMemory:
        folder = memory_folder(config)
        embedder = make_embedder(config)
        store = open_store(folder)
        try:
            row = agreed(store, embedder, folder)
        except BaseException:
            store.close()
            raise
        index = DenseIndex(store, row, folder / "index")
        memory = SqliteMemory(
            folder,
            store,
            embedder,
            row,
            config.scope,
            executor=executor,
            clock=clock,
            index=index,
            tuner=_tuner(store, config),
            url=config.url,
        )
        memory.sync()
        return memory

    return await asyncio.get_running_loop().run_in_executor(executor, opened)


async def open_memory_readonly(
    config: MemoryConfig, executor: Executor, *, clock: Clock
) -> SqliteMemory:
    """The memory for reading only: works while runs write to it and in read-only folders.

    Raises:
        FileNotFoundError: No memory there yet.
        ConfigurationError: Another embedder than the memory's, or an unknown one.
        StoreError: Damaged, or written by a newer version.
    """

    def opened() -> SqliteMemory:
        folder = memory_folder(config)
        store = open_store_readonly(folder)
        try:
            embedder = make_embedder(config)
            row = _known(store, embedder, folder)
        except BaseException:
            store.close()
            raise
        index = DenseIndex(store, row, None)
        return SqliteMemory(
            folder,
            store,
            embedder,
            row,
            config.scope,
            executor=executor,
            clock=clock,
            index=index,
            tuner=_tuner(store, config),
            readonly=True,
        )

    return await asyncio.get_running_loop().run_in_executor(executor, opened)


def open_store_readonly(folder: Path) -> Store:
    """The database in `folder` for reading only; needs no embedder.

    Raises:
        FileNotFoundError: No memory there yet.
        StoreError: Damaged, or written by a newer version.
    """
    return Store(open_readonly(folder / DATABASE))


def open_store(folder: Path) -> Store:
    """The database in `folder`, made if missing.

    Raises:
        ConfigurationError: The folder is on a network file system or cannot be written.
        StoreError: Damaged, or written by a newer version.
    """
    refuse_network(folder)
    try:
        return Store(open_database(folder / DATABASE))
    except OSError as error:
        raise ConfigurationError(
            f"the memory folder {folder} cannot be used: {error.strerror or error}",
            expected="a folder that can be made and written",
            action="set `memory.path` in harness.yaml or HARNESS_MEMORY to another folder",
        ) from error


def _tuner(store: Store, config: MemoryConfig) -> Tuner:
    if config.credit:
        return Tuner(store, Weights(), fixed=frozenset(), active=config.tune)
    return Tuner(store, Weights(credit=0.0), fixed=frozenset({"credit"}), active=config.tune)


def agreed(store: Store, embedder: Embedder, folder: Path) -> EmbedderRow:
    """The memory's embedder, which is `embedder`; a new memory takes it."""
    if store.embedder() is None:
        return store.set_embedder(embedder.identity, embedder.dimensions, *calibrate(embedder))
    return _known(store, embedder, folder)


def _known(store: Store, embedder: Embedder, folder: Path) -> EmbedderRow:
    row = store.embedder()
    if row is None:
        raise FileNotFoundError(folder)
    if row.identity != embedder.identity:
        raise ConfigurationError(
            f"the memory in {folder} was made with the embedder {row.identity}, "
            f"not with {embedder.identity}",
            expected="one embedder for all vectors of a memory",
            action="set `memory.embedder` back, or run `harness memory reindex` to embed all "
            "records again",
        )
    return row
