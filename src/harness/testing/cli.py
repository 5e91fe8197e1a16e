"""A scripted coding agent's CLI, for trials of the `command` agent without a real one.

It runs inside the sandbox and plays steps, one JSON list each, given as its words:

    ["mcp", TOOL, ARGUMENTS]         call a tool by MCP over the stdio proxy, one client for all
    ["mcp-http", TOOL, ARGUMENTS]    the same over streamable HTTP, a client of its own
    ["mcp-many", TOOL, [ARGUMENTS]]  several calls at once over the stdio proxy
    ["chat", TEXT, FIELDS]           call the gateway in the format of OpenAI's chat completions
    ["responses", TEXT, FIELDS]      … of OpenAI's responses
    ["messages", TEXT, FIELDS]       … of Anthropic's messages
    ["post", PATH, TOKEN, FIELDS]    a request of one's own, with another token
    ["write", PATH, TEXT]            write a file
    ["sh", COMMAND]                  run a shell command
    ["stop-after", FILE]             go no further in the run of the command that makes this file
    ["sleep", SECONDS] ["exit", CODE] ["prompt"] ["env", NAME]

What came of each is printed as a line of JSON. `FIELDS` with `"stream": true` streams.

    config = AgentConfig(kind="command", command=cli(["write", "x.txt", "5"], ["mcp", "submit", …]))
"""

import asyncio
import http.client
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATHS = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}


def cli(*steps: list[Any]) -> tuple[str, ...]:
    """The words of a command that plays these steps."""
    source = Path(__file__).read_text(encoding="utf-8")
    return ("python3", "-c", source, *map(json.dumps, steps))


# (The agent fills in what looks like a placeholder, in this source too.)
def post(path: str, shown: str, body: dict[str, Any]) -> dict[str, Any]:
    """One request to the gateway; the answer's status with its document or events."""
    address = urlsplit(os.environ["HARNESS_URL"])
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    headers = {"Authorization": f"Bearer {shown}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if "event-stream" in (answer.getheader("content-type") or ""):
        lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
        events = [json.loads(line) for line in lines if line != "[DONE]"]
        return {"status": answer.status, "events": events, "done": "[DONE]" in lines}
    return {"status": answer.status, "body": json.loads(text)}


def ask(form: str, text: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A question to the model."""
    messages = [{"role": "user", "content": text}]
    body: dict[str, Any] = {"model": os.environ.get("HARNESS_MODEL") or "unknown"}
    body |= {"input": messages} if form == "responses" else {"messages": messages}
    body |= {"max_tokens": 64} if form == "messages" else {}
    return post(f"/v1{PATHS[form]}", os.environ["HARNESS_TOKEN"], {**body, **fields})


class Clients:
    """The MCP clients; `mcp` is loaded when the first is needed."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._stdio: Any = None

    async def stdio(self) -> Any:
        if self._stdio is None:
            from mcp import Client, StdioServerParameters

            config = json.loads(Path(os.environ["HARNESS_MCP_CONFIG"]).read_text(encoding="utf-8"))
            server = config["mcpServers"]["harness"]
            parameters = StdioServerParameters(command=server["command"], args=server["args"])
            self._stdio = await self._stack.enter_async_context(Client(parameters))
        return self._stdio

    async def over_http(self, tool: str, arguments: dict[str, Any]) -> Any:
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        headers = {"Authorization": f"Bearer {os.environ['HARNESS_TOKEN']}"}
        async with httpx2.AsyncClient(headers=headers, timeout=120) as given:
            transport = streamable_http_client(os.environ["HARNESS_MCP_URL"], http_client=given)
            async with Client(transport) as client:
                return plain(await client.call_tool(tool, arguments))


def plain(result: Any) -> dict[str, Any]:
    """A tool's result as plain JSON."""
    return {"text": "".join(part.text for part in result.content), "error": result.is_error}


async def play(step: list[Any], clients: Clients) -> Any:
    """Do one step."""
    kind, *given = step
    if kind == "mcp":
        return plain(await (await clients.stdio()).call_tool(given[0], given[1]))
    if kind == "mcp-many":
        client = await clients.stdio()
        calls = [client.call_tool(given[0], arguments) for arguments in given[1]]
        return [plain(result) for result in await asyncio.gather(*calls)]
    if kind == "mcp-tools":
        return [tool.name for tool in (await (await clients.stdio()).list_tools()).tools]
    if kind == "mcp-http":
        return await clients.over_http(given[0], given[1])
    if kind in PATHS:
        return await asyncio.to_thread(ask, kind, given[0], given[1] if given[1:] else {})
    if kind == "post":
        return await asyncio.to_thread(post, given[0], given[1], given[2])
    if kind == "sleep":
        return await asyncio.sleep(given[0])
    return at_once(kind, given)


def at_once(kind: str, given: list[Any]) -> Any:
    """Do one step that needs no waiting."""
    if kind == "write":
        return Path(given[0]).write_text(given[1], encoding="utf-8")
    if kind == "sh":
        done = subprocess.run(["sh", "-c", given[0]], capture_output=True, text=True, check=False)
        return {"code": done.returncode, "output": done.stdout + done.stderr}
    if kind == "prompt":
        return sys.stdin.read()
    if kind == "env":
        return os.environ.get(given[0])
    if kind == "exit":
        sys.exit(given[0])
    if kind == "stop-after" and not Path(given[0]).exists():
        Path(given[0]).touch()
        sys.exit(0)
    return None


async def main() -> None:
    """Play the steps that are this program's words."""
    async with AsyncExitStack() as stack:
        clients = Clients(stack)
        for word in sys.argv[1:]:
            step = json.loads(word)
            came = await play(step, clients)
            sys.stdout.write(json.dumps({"step": step[0], "came": came}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
