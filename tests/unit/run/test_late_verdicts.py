"""An answer that came too late is kept beside the verdict, and is not it."""

import json
from pathlib import Path

from harness.attempt import Operator, Status, Verdict, verdict_from
from harness.clock import SystemClock
from harness.evaluators.base import LateVerdict
from harness.ids import AgentId, CommitHash, TreeHash
from harness.run.attempts import Candidate
from harness.run.folder import RunFolder
from harness.run.store import Store
from harness.run.views import late_verdicts


def test_a_late_answer_never_overwrites(tmp_path: Path) -> None:
    store = Store.create(tmp_path, SystemClock(), {})
    hashes = CommitHash("a" * 40), TreeHash("b" * 40)
    made = Candidate(*hashes, AgentId("agent-1"), Operator.DRAFT, (), (), "one", None, {})
    attempt = store.attempts.submit(made, key=None)
    store.attempts.start(attempt.id)
    early = LateVerdict(attempt.id, "t1", "node:1", Verdict(Status.SCORED, score=1.0))
    store.attempts.late(early)
    assert store.attempts.get(attempt.id).verdict is None
    store.attempts.verdict(attempt.id, Verdict(Status.SCORED, score=2.0))
    store.attempts.late(LateVerdict(attempt.id, "t2", "node:2", Verdict(Status.FAILED)))
    assert store.attempts.get(attempt.id).score == 2.0
    store.close()
    late = late_verdicts(RunFolder(tmp_path), attempt.id)
    assert [(each["token"], each["site"]) for each in late] == [("t1", "node:1"), ("t2", "node:2")]
    assert verdict_from(late[0]["verdict"]) == early.verdict
    assert json.dumps(late)
