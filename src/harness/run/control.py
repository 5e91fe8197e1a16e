"""Commands to a live run, through the inbox of its store."""

import json
import sqlite3
import time

from harness.errors import UserError
from harness.redact import RedactingConnection
from harness.run import rows
from harness.run.folder import RunFolder, live_process
from harness.run.store import Answer

ANSWER_WITHIN_S = 30.0
"""A run looks at its inbox four times a second; on an overloaded machine it may take longer."""
POLL_S = 0.05


def send(folder: RunFolder, command: str, **arguments: object) -> str:
    """Append a command and wait for the run's answer.

    Raises:
        UserError: The run is not live, refuses, or does not answer in time.
    """
    if live_process(folder) is None:
        raise UserError(
            f"run {folder.id} is not running",
            expected="a live run",
            action=f"harness status {folder.id}",
        )
    connection = sqlite3.connect(
        folder.database, isolation_level=None, timeout=30.0, factory=RedactingConnection
    )
    try:
        cursor = connection.execute(
            "INSERT INTO commands VALUES (NULL,?,?,?,NULL,NULL)",
            (time.time(), command, rows.dump(arguments)),
        )
        deadline = time.monotonic() + ANSWER_WITHIN_S
        alive = True
        while time.monotonic() < deadline:
            answer = connection.execute(
                "SELECT answer FROM commands WHERE id = ?", (cursor.lastrowid,)
            ).fetchone()[0]
            if answer is not None:
                return _told(Answer(**json.loads(answer)))
            if not alive:
                raise UserError(
                    f"run {folder.id} was killed before it answered {command!r}",
                    expected="a live run",
                    action=f"harness resume {folder.id}, look whether it is done, say it again",
                )
            # Asked before the answer is looked for once more: it may come with the end.
            alive = live_process(folder) is not None
            time.sleep(POLL_S)
    finally:
        connection.close()
    raise UserError(
        f"run {folder.id} did not answer {command!r} within {ANSWER_WITHIN_S:g} s",
        expected="an answer; the command stays in its inbox",
        action=f"look at what it does: harness status {folder.id}",
    )


def _told(answer: Answer) -> str:
    if answer.done:
        return answer.text
    raise UserError(answer.text, expected=answer.expected, action=answer.action)
