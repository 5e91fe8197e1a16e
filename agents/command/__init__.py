"""The `command` agent: an external coding agent's CLI inside the workspace's sandbox.

The sandbox has no network. One program of ours is started in it (`inside/relay.py`), listens on its
loopback, starts the CLI and carries each connection over its own standard input and output to the
harness (`relay.py`), where one HTTP service answers (`service.py`): the team's tools by MCP
(`mcp_server.py`) and for the `harness` command (`inside/harness_command.py`), and the model gateway
(`gateway.py`), which holds the key and counts what is used.
"""
