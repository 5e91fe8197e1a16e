"""What is shown of heartbeats: why they fired, what was done, what changed after it."""

import shutil
from pathlib import Path
from typing import Any

from harness.agents.heartbeats.base import Intervention
from harness.attempt import Operator
from harness.ids import AgentId
from harness.run.firings import log_document, read_firings, read_rules, rules_document
from harness.run.folder import RunFolder

PLATEAU = {
    "name": "stuck",
    "trigger": "plateau",
    "every": 2,
    "prompt": "stuck",
    "action": "pivot",
}


def test_what_changed_after_a_firing_is_read_from_the_store(make_bench: Any) -> None:
    bench = make_bench(PLATEAU, agents=2)
    first = bench.try_one("agent-1", 2.0, operator=Operator.DRAFT)
    bench.clock.time += 10
    for score in (None, 1.0):
        bench.try_one("agent-1", score, base=first.id)
    early = bench.submit("agent-1", base=first.id)
    bench.clock.time += 10
    bench.take("agent-1")
    bench.judge(early, 9.0)
    bench.clock.time += 10
    other = bench.try_one("agent-1", 3.0, operator=Operator.DRAFT)
    bench.try_one("agent-1", None, base=other.id)
    bench.try_one("agent-2", 99.0)
    firing, _ = read_firings(bench.folder)
    assert (firing.rule, firing.subject, firing.key) == ("stuck", "agent-1", "stuck-agent-1-1")
    assert firing.reason == "2 evaluations without a personal best"
    assert (firing.action, firing.outcome) == ("pivot", "waits to be performed")
    assert (firing.evaluations, firing.best) == (3, 2.0)
    assert (firing.team_evaluations, firing.team_best) == (3, 2.0)
    # What was submitted before the message was read is no answer to it.
    assert firing.before.attempts == ("1", "2", "3", "4")
    assert firing.before.branches == ("1",)
    assert firing.after.attempts == (other.id, "6")
    assert (firing.after.best, firing.improved) == (3.0, True)
    assert firing.after.statuses == {"scored": 1, "failed": 1}
    assert firing.after.operators == {"draft": 1, "improve": 1}
    assert firing.after.branches == (other.id,)
    shorter, _ = read_firings(bench.folder, within=1)
    assert (shorter.before.attempts, shorter.after.attempts) == (("4",), (other.id,))


def test_what_was_told_and_what_waits(make_bench: Any) -> None:
    rule = {"name": "all", "trigger": "interval", "every": 1, "scope": "team", "prompt": "x"}
    bench = make_bench(rule, agents=2)
    bench.core.intervene(Intervention("user", "agent-2", "harness tell", "hello"))
    bench.clock.time += 1
    bench.try_one("agent-1", 1.0)
    bench.take("agent-2")
    told = read_firings(bench.folder)
    assert [(each.rule, each.number is None) for each in told] == [("user", True), ("all", False)]
    assert [(t.agent, t.delivered_at is None) for t in told[1].told] == [
        ("agent-1", True),
        ("agent-2", False),
    ]
    document = log_document(bench.folder, told)
    assert document["schema_version"] == 1
    assert document["firings"][0]["told"][0]["text"] == "hello"
    assert document["firings"][1]["after"]["attempts"] == []


def test_a_copied_run_is_read_without_a_trace(make_bench: Any, tmp_path: Path) -> None:
    bench = make_bench(PLATEAU, agents=1)
    for _ in range(3):
        bench.try_one("agent-1", 1.0)
    bench.close()
    copy = tmp_path / "copy"
    shutil.copytree(bench.folder.path, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert len(read_firings(RunFolder(copy))) == 1
    assert [rule.fired for rule in read_rules(RunFolder(copy))] == [1]
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_the_rules_in_force_and_when_they_are_due(make_bench: Any) -> None:
    bench = make_bench(
        {"name": "reflect", "every": 3}, PLATEAU, "wrap_up", agents=2, evaluations=10
    )
    for _ in range(4):
        bench.try_one("agent-2", 1.0)
    bench.core.store.agent_states({AgentId("agent-2"): ("working", "", 0.0)})
    rules = {each.rule.name: each for each in read_rules(bench.folder)}
    reflect = rules["reflect"]
    assert (reflect.trigger, reflect.fired) == ("every 3 of an agent's attempts", 1)
    mark, due = reflect.subjects["agent-2"]
    assert (mark.evaluations, due) == (3, "at 6 (now 4)")
    assert rules["stuck"].subjects["agent-2"][1] == "3 of 2 (now 4)"
    assert rules["wrap_up"].subjects["agent-2"][1] == "now 50%"
    document = rules_document(bench.folder, rules.values())
    assert document["rules"][0]["subjects"] == [
        {
            "agent": "agent-2",
            "fired": 1,
            "last_at": document["rules"][0]["last_at"],
            "last_evaluations": 3,
            "next": "at 6 (now 4)",
        }
    ]
