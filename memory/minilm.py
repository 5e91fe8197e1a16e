"""The ONNX model all-MiniLM-L6-v2 as Chroma runs it; used only when it is already on this disk."""

from collections.abc import Sequence

import numpy as np

from harness.errors import ConfigurationError
from harness.memory.embedders import Vectors, normalised

# Chroma downloads them all when one is missing.
_FILES = (
    "config.json",
    "model.onnx",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.txt",
)


class MiniLmEmbedder:
    """Never downloads: Chroma's own function would fetch 80 MB at the first use.

    Raises:
        ConfigurationError: The model is not on this disk.
    """

    dimensions = 384
    identity = "minilm-l6-v2:384"

    def __init__(self) -> None:
        from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

        folder = ONNXMiniLM_L6_V2.DOWNLOAD_PATH / ONNXMiniLM_L6_V2.EXTRACTED_FOLDER_NAME
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise ConfigurationError(
                f"the embedder minilm has no {' and no '.join(missing)} in {folder}",
                expected="the ONNX model all-MiniLM-L6-v2 as Chroma unpacks it",
                action="put it there, or set `memory.embedder` to `hashing`",
            )
        self._model = ONNXMiniLM_L6_V2()

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        return normalised(np.asarray(self._model(list(texts)), np.float32))
