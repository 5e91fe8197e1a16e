"""Making everything that is derived from the records again: words, vectors, the dense index."""

from collections.abc import Callable, Mapping
from typing import Any

from harness.memory.base import MemoryConfig
from harness.memory.embedders import calibrate, make_embedder
from harness.memory.folder import memory_folder
from harness.memory.index import DenseIndex
from harness.memory.open import open_store

_BATCH = 256


def reindex(
    config: MemoryConfig, *, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Mapping[str, Any]:
    """Embed all records with the embedder that `config` names. Blocking.

    Vectors that this very embedder made are kept. Can be killed and repeated: it goes on where it
    was. Runs that are live with another embedder go
    on writing records; their vectors are added by the next one that opens the memory.

    Args:
        config: Names folder and embedder.
        progress: Called with (records done, records in all) after each batch.

    Raises:
        ConfigurationError: As `open_memory`.
        ModelUnavailableError: The embedder does not answer.
        StoreError: As `open_memory`.
    """
    folder = memory_folder(config)
    embedder = make_embedder(config)
    calibration = calibrate(embedder)
    store = open_store(folder)
    try:
        row = store.set_embedder(embedder.identity, embedder.dimensions, *calibration)
        store.rebuild_words()
        total = int(store.counts()["records"])
        done = int(store.counts()["vectors"])
        while missing := store.without_vector(row.number, _BATCH):
            vectors = embedder.embed([text for _, text in missing])
            store.put_vectors([seq for seq, _ in missing], row.number, vectors)
            done += len(missing)
            progress(done, total)
        store.drop_vectors(but=row.number)
        index = DenseIndex(store, row, folder / "index")
        fed = index.feed()
        index.close()
        return {"records": total, "embedder": row.identity, "index_fed": fed}
    finally:
        store.close()
