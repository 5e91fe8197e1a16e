"""A model endpoint of fixed latency for `benchmarks.agents`: four calls for each attempt.

    python -m benchmarks.model_latency SECONDS

Prints its address, then answers until it is ended.
"""

import re
import sys
import threading
import zlib

from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, slow, text, tool_call


def worker(request: Request) -> Reply:
    """One attempt a directive: write a number nobody wrote before, read it, submit it, end."""
    messages = request.messages
    starts = [
        (index, found)
        for index, message in enumerate(messages)
        if message["role"] == "user"
        and (found := re.match(r"# Directive (\d+)", str(message["content"])))
    ]
    if not starts:  # asked what was learnt, at the end of a run
        return text("[]")
    start, found = starts[-1]
    done = sum(message["role"] == "assistant" for message in messages[start:])
    agent = zlib.crc32(str(messages[0]["content"]).encode()) % 10_000
    number = f"{found[1]}.{agent:04d}"
    if done == 0:
        return tool_call("write", path="value.json", content=number)
    if done == 1:
        return tool_call("read", path="value.json")
    if done == 2:
        return tool_call("submit", title=f"write {number}")
    return text(f"{number} is submitted.")


def main() -> None:
    """Serve until the standard input is closed."""
    latency_s = float(sys.argv[1])
    with ScriptedEndpoint(lambda request: slow(latency_s, worker(request))) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()
        threading.Event().wait(0.1)


if __name__ == "__main__":
    main()
