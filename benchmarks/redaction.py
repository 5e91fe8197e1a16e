"""What looking for secrets costs: milliseconds for a megabyte, microseconds for a text.

python -m benchmarks.redaction
"""

import base64
import random
import time
from pathlib import Path

from harness.redact import Redactor

ROUNDS = 5
SECRETS = {f"secret-value-{n}-{n * 7919}": f"KEY_{n}" for n in range(5)}


def milliseconds(redactor: Redactor, text: str, times: int = 1) -> float:
    """The best of some rounds, for `times` texts."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(times):
            redactor.text(text)
        best = min(best, time.perf_counter() - start)
    return best * 1000


def main() -> None:
    redactor = Redactor(SECRETS)
    code = "".join(path.read_text("utf-8") for path in Path("agents").glob("*.py"))
    code = (code * (1 + 2_000_000 // len(code)))[:2_000_000]
    data = base64.b64encode(random.Random(1).randbytes(1_500_000)).decode()
    begins = f"{code} sk- AKIA ghp_ hf_ eyJ xox AIza Authorization PRIVATE KEY"
    for name, text in (("code", code), ("base64", data), ("all beginnings of keys", begins)):
        print(f"{name:24} {milliseconds(redactor, text) / len(text) * 1e6:8.1f} ms/MB")
    for size in (100, 1000, 10_000):
        print(f"{size:6} characters        {milliseconds(redactor, code[:size], 1000):8.1f} us")


if __name__ == "__main__":
    main()
