"""The team's tools by MCP: over lines of a socket (the stdio proxy), or streamable HTTP."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.message import SessionMessage
from starlette.requests import Request

from harness.agents.command.desk import ToolDesk
from harness.version import package_version

MAX_LINE_BYTES = 4 * 1024 * 1024
_MAX_SESSIONS = 64

_INSTRUCTIONS = (
    "The research team that this workspace belongs to: submit attempts, read the board and other "
    "attempts, use the shared memory."
)


def make_server(desk: ToolDesk, connection: str = "") -> Server[dict[str, Any]]:
    """An MCP server over the desk's tools; `connection` is what its request ids are unique in."""

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=tool.name,
                    description=tool.description,
                    input_schema=tool.schema()["function"]["parameters"],
                )
                for tool in desk.tools()
            ]
        )

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        session = connection
        if isinstance(context.request, Request):
            # Without a session, equal numbers of requests mean nothing: each is a call of its own.
            session = context.request.headers.get(MCP_SESSION_ID_HEADER) or secrets.token_hex(8)
        answer = await desk.call(
            params.name, params.arguments or {}, f"{session}/{context.request_id!r}"
        )
        content = types.TextContent(type="text", text=answer.text)
        return types.CallToolResult(content=[content], is_error=answer.error)

    return Server(
        "harness",
        version=package_version(),
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def http_manager(desk: ToolDesk) -> StreamableHTTPSessionManager:
    """Streamable HTTP; its `run` must be entered once, `handle_request` is the ASGI side."""
    return StreamableHTTPSessionManager(
        make_server(desk),
        json_response=False,
        # Whoever reaches it has the token; the name it is reached by is the relay's.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=MAX_LINE_BYTES,
        max_sessions=_MAX_SESSIONS,
    )


async def serve_lines(
    desk: ToolDesk, token: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection of the stdio proxy: a line with the token, then MCP, a message a line."""
    try:
        given = await reader.readline()
        if not secrets.compare_digest(given.strip(), token.encode()):
            return
        server = make_server(desk, f"stdio-{secrets.token_hex(8)}")
        async with _messages(reader, writer) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
    except (OSError, ValueError):
        return  # the agent has closed it, or sent a line without an end
    finally:
        writer.close()


@asynccontextmanager
async def _messages(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncGenerator[tuple[Any, Any]]:
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        async with to_server:
            while line := await reader.readline():
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError as error:
                    await to_server.send(error)
                    continue
                await to_server.send(SessionMessage(message))

    async def write() -> None:
        async with from_server:
            async for each in from_server:
                data = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                writer.write(data.encode() + b"\n")
                await writer.drain()

    tasks = [asyncio.create_task(read()), asyncio.create_task(write())]
    try:
        yield incoming, outgoing
        await outgoing.aclose()
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # a connection that broke ends the session like its end
