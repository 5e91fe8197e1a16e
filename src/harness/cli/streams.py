"""What a process prints, without secrets: a run's output ends in logs."""

import sys
from typing import Any, TextIO, cast

from harness.redact import RedactedStream, redactor


class _Redacted:
    """Stands in for a text stream; writes whole lines, and at `flush` what there is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._redacted = RedactedStream(redactor)

    def write(self, text: str) -> int:
        """Returns the number of characters taken."""
        if ready := self._redacted.feed(text):
            self._stream.write(ready)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if rest := self._redacted.flush():
            self._stream.write(rest)
        self._stream.flush()

    def close(self) -> None:
        if rest := self._redacted.close():
            self._stream.write(rest)
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_secrets(*, stdout: bool) -> None:
    """Redact what this process prints on stderr; and on stdout, unless that is a user's document:
    a diff that is printed to be applied stays what it is."""
    sys.stderr = cast(TextIO, _Redacted(sys.stderr))
    if stdout:
        sys.stdout = cast(TextIO, _Redacted(sys.stdout))
