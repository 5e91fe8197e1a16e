"""An agent with a way out to one host, through the command line."""

import json
from pathlib import Path

from tests.e2e.conftest import Cli
from tests.e2e.reading import query

from harness.testing.endpoint import Reply, Request, ScriptedEndpoint, text, tool_call

FETCH = """
import os, urllib.request
del os.environ["no_proxy"], os.environ["NO_PROXY"]
for url in ("http://localhost:PORT/v1/models", "http://elsewhere.example/"):
    try:
        print(urllib.request.urlopen(url, timeout=20).status)
    except OSError as error:
        print(error)
"""


def test_where_an_agent_went_is_in_the_journal(cli: Cli) -> None:
    said: list[str] = []

    def behaviour(request: Request) -> Reply:
        done = sum(message["role"] == "assistant" for message in request.messages)
        said.extend(str(m["content"]) for m in request.messages if m["role"] == "tool")
        port = server.url.split(":")[2].split("/")[0]
        if done == 0:
            return tool_call("bash", command=f"python3 -c '{FETCH.replace('PORT', port)}'")
        if done == 1:
            return tool_call("bash", command="echo 'changed = 1' >> solve.py")
        return tool_call("submit", title="done") if done == 2 else text("that is all")

    with ScriptedEndpoint(behaviour) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        egress = {"hosts": ["localhost"], "ports": [port], "private": True}
        path = cli.folder / "harness.yaml"
        path.write_text(json.dumps({"sandbox": {"egress": egress}}), encoding="utf-8")
        cli.environment |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none-at-all"}
        cli.launch(
            "launch", "circle_packing", "--agents", "1", "--evals", "2", "--model", "scripted",
            "--sandbox", "process", "--unsafe",
        )  # fmt: skip
        assert "hosts: localhost." in str(server.chats[0].messages[0]["content"])
    assert "200" in said[0]
    assert "403" in said[0]
    run = Path(cli.json("status", "latest")["path"])
    rows = query(run, "SELECT agent, data FROM events WHERE kind = 'egress'")
    found = {json.loads(row["data"])["target"]: json.loads(row["data"])["allowed"] for row in rows}
    assert found == {f"localhost:{port}": True, "elsewhere.example:80": False}
    assert {row["agent"] for row in rows} == {"agent-1"}
