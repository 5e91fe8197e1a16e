"""Text that candidates and judges wrote, made safe to store, print and show to a model."""

from harness.text import visible

MAX_FEEDBACK_BYTES = 4096


def clean(text: str | bytes, max_bytes: int = MAX_FEEDBACK_BYTES) -> str:
    """The beginning of `text` without control characters, at most `max_bytes` in UTF-8."""
    cleaned = visible(_decoded(text[: 4 * max_bytes]))
    return cleaned.encode("utf-8")[:max_bytes].decode("utf-8", "ignore").strip()


def clean_tail(text: str | bytes, max_bytes: int = MAX_FEEDBACK_BYTES) -> str:
    """The end of `text`, as `clean` does its beginning: where tracebacks say what happened."""
    cleaned = visible(_decoded(text[-4 * max_bytes :]))
    return cleaned.encode("utf-8")[-max_bytes:].decode("utf-8", "ignore").strip()


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")
