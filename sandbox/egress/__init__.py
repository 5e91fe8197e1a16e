"""The way out for sandboxes that need one: a proxy of the harness's, to hosts that are listed.

The sandbox keeps its network off. The proxy (`proxy.py`) runs in the harness and listens on a Unix
socket in a folder that the sandbox sees. Each command is started by `forward.py`, which listens on
the command's own loopback, tells it so by `http_proxy` and `https_proxy`, and carries connections
to the socket. So whatever does not ask the proxy reaches nothing, on every provider alike.
"""
