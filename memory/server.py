"""One memory for several machines: Chroma's own server holds everybody's records.

Each machine keeps its own SQLite, which stays the truth of what it recalls: a server that is away
costs nothing but news. `sync` sends the server what it lacks and takes what others sent.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from harness.errors import ConfigurationError, InfrastructureError
from harness.memory import lookup
from harness.memory.embedders import Vectors
from harness.memory.rows import EmbedderRow
from harness.memory.store import Store
from harness.memory.transfer import plain, record_of

BATCH = 200


def command(folder: Path, host: str, port: int) -> list[str]:
    """How Chroma's server is started for the memory in `folder`.

    Raises:
        ConfigurationError: Chroma's program is not installed.
    """
    beside = Path(sys.executable).parent / "chroma"
    program = str(beside) if beside.is_file() else shutil.which("chroma")
    if program is None:
        raise ConfigurationError(
            "the program `chroma` is not there",
            expected="it beside this Python, where the package chromadb puts it",
            action="install chromadb again",
        )
    return [program, "run", "--path", str(folder / "server"), "--host", host, "--port", str(port)]


def sync(store: Store, row: EmbedderRow, url: str, *, at: float) -> Mapping[str, int]:
    """Send what the server at `url` lacks, take what it has from others. Blocking; repeatable.

    Returns:
        How many records were `sent` and `taken`.

    Raises:
        ConfigurationError: `url` is no address.
        InfrastructureError: The server does not answer.
    """
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigurationError(
            f"the memory's url is {url!r}",
            expected="http://HOST:PORT of `harness memory serve`",
            action="set `memory.url` in harness.yaml, or --url",
        )
    try:
        collection = _collection(address.hostname, address.port, address.scheme, row)
        theirs = set(_ids(collection))
        sent = _send(store, row, collection, theirs)
        return {"sent": sent, "taken": _take(store, row, collection, theirs, at)}
    except (ConfigurationError, InfrastructureError):
        raise
    except Exception as error:  # chromadb and its HTTP client raise errors of many kinds
        raise InfrastructureError(f"the memory's server {url} does not answer: {error}") from error


def _collection(host: str, port: int | None, scheme: str, row: EmbedderRow) -> Any:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.HttpClient(
        host=host,
        port=port or (443 if scheme == "https" else 80),
        ssl=scheme == "https",
        settings=Settings(anonymized_telemetry=False),
    )
    # Vectors of two embedders never mix.
    name = "records-" + blake2b(row.identity.encode(), digest_size=8).hexdigest()
    return client.get_or_create_collection(
        name,
        configuration={"hnsw": {"space": "cosine"}},
        metadata={"embedder": row.identity},
        embedding_function=None,
    )


def _ids(collection: Any) -> Iterator[str]:
    offset = 0
    while True:
        found: list[str] = collection.get(include=[], limit=5_000, offset=offset)["ids"]
        yield from found
        if len(found) < 5_000:
            return
        offset += len(found)


def _send(store: Store, row: EmbedderRow, collection: Any, theirs: set[str]) -> int:
    ours = [name for name in store.ids() if name not in theirs]
    sent = 0
    for start in range(0, len(ours), BATCH):
        seqs = store.seqs(ours[start : start + BATCH])
        records = store.by_seq(seqs)
        vectors = lookup.vectors_of(store, row.number, seqs)
        # What the run alone may read stays here; what has no vector yet goes the next time.
        batch = [s for s in seqs if s in vectors and records[s].audience != "run"]
        if not batch:
            continue
        collection.upsert(
            ids=[records[seq].id for seq in batch],
            embeddings=np.stack([vectors[seq] for seq in batch]),
            documents=[json.dumps(plain(records[seq])) for seq in batch],
        )
        sent += len(batch)
    return sent


def _take(store: Store, row: EmbedderRow, collection: Any, theirs: set[str], at: float) -> int:
    missing = sorted(theirs - set(store.ids()))
    taken = 0
    for start in range(0, len(missing), BATCH):
        found = collection.get(
            ids=missing[start : start + BATCH], include=["documents", "embeddings"]
        )
        vectors: Vectors = np.asarray(found["embeddings"], np.float32)
        records = [record_of(json.loads(text)) for text in found["documents"]]
        taken += store.insert_all(records, vectors, row.number, at)
    return taken
