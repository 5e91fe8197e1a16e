"""The offline agent against a real graph, real policies and a judge of a few lines."""

import json
import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, cast

import pytest
from tests.unit.agents.offline_bench import (
    ROOT,
    TABLE,
    Bench,
    Files,
    constants,
    sphere,
)

from harness.agents.adaptation import Experience, lessons_of
from harness.agents.base import (
    AgentConfig,
    AgentContext,
    Assignment,
)
from harness.agents.edits import Change
from harness.agents.mutation import Model, parse
from harness.agents.offline import FRUITLESS, OfflineAgent
from harness.agents.recombination import repeat, retreat, transplant
from harness.agents.registry import make_agent
from harness.errors import ConfigurationError, HarnessError
from harness.ids import SEED_ATTEMPT
from harness.memory.base import RecordKind
from harness.testing.memory import make_record


@pytest.mark.parametrize("search", ["progressive", "greedy", "random"])
async def test_it_improves_a_table_by_far_in_a_hundred_evaluations(search: str) -> None:
    bench = Bench({"solve.py": TABLE}, sphere, direction="minimize", search=search, evaluations=100)
    await bench.run()
    start, best = bench.graph[SEED_ATTEMPT].score, bench.graph.best
    assert start is not None
    assert best is not None
    assert best.score is not None
    assert best.score < 0.75 * start
    assert len(bench.graph) == 100


async def test_the_same_seed_gives_the_same_attempts_and_another_one_others() -> None:
    runs = [
        await Bench({"solve.py": TABLE}, sphere, direction="minimize", seed=s).run()
        for s in (1, 1, 2)
    ]
    assert list(runs[0].trees.values()) == list(runs[1].trees.values())
    assert list(runs[0].graph) == list(runs[1].graph)
    assert list(runs[0].trees.values()) != list(runs[2].trees.values())


async def test_a_fresh_agent_goes_on_as_the_first_would_have() -> None:
    whole = await Bench({"solve.py": TABLE}, sphere, direction="minimize", evaluations=40).run()
    parted = Bench({"solve.py": TABLE}, sphere, direction="minimize", evaluations=40)
    agents = 0
    while await parted.assignment() is not None:
        agents += 1
        stop_after = len(parted.graph) + 1

        async def once(end: int = stop_after) -> Assignment | None:
            if len(parted.graph) >= end:
                return None
            return await Bench.assignment(parted)

        parted.assignment = once  # type: ignore[method-assign] # a kill after one submission
        await OfflineAgent(AgentConfig()).run(cast(AgentContext, parted))
        del parted.assignment
    assert agents == len(parted.graph) - 1
    assert list(parted.trees.values()) == list(whole.trees.values())


async def test_every_attempt_says_what_it_did_and_none_repeats_another() -> None:
    bench = await Bench({"solve.py": TABLE}, sphere, direction="minimize", evaluations=80).run()
    attempts = list(bench.graph)[1:]
    assert all(a.detail["edit"] and a.title and a.detail["digest"] for a in attempts)
    assert len({a.detail["digest"] for a in attempts}) == len(attempts) == bench.asked
    assert len({a.detail["edit"] for a in attempts}) > 8


async def test_only_python_is_changed_when_it_holds_numbers_and_data_otherwise() -> None:
    data = b'{"VALUES": [[3.0, 4.0], [5.0, 6.0]], "GAIN": 2.0}\n'
    both = {"solve.py": TABLE, "notes.json": data, "logo.png": b"\xff\x00\xfe"}
    bench = await Bench(both, sphere, direction="minimize", evaluations=20).run()
    assert all(
        {**tree, "solve.py": b""} == {**both, "solve.py": b""} for tree in bench.trees.values()
    )

    def judge(files: Mapping[str, bytes]) -> float | None:
        try:
            answer = json.loads(files["answer.json"])
            return -math.fsum(x * x for row in answer["VALUES"] for x in row)
        except (ValueError, KeyError, TypeError):
            return None

    program = b"import shutil\n\nshutil.copy('answer.json', 'out.json')\n"
    seed = {"answer.json": data, "solve.py": program}
    bench = await Bench(seed, judge, evaluations=40).run()
    assert bench.graph.best is not None
    assert bench.graph.best.id != SEED_ATTEMPT


async def test_a_list_of_instructions_gets_shorter() -> None:
    rows = b"".join(b'    ["op", %d, %d],\n' % (i, i + 1) for i in range(12))

    def judge(files: Mapping[str, bytes]) -> float | None:
        code: list[list[object]] = constants(files).get("CODE", [])
        needed = [["op", 0, 1], ["op", 5, 6], ["op", 11, 12]]
        return float(len(code)) if all(row in code for row in needed) else None

    seed = {"solve.py": b"CODE = [\n" + rows + b"]\n"}
    bench = await Bench(seed, judge, direction="minimize", evaluations=150).run()
    assert bench.graph.best is not None
    assert bench.graph.best.score is not None
    assert bench.graph.best.score < 12


@pytest.mark.parametrize("files", [{"solve.py": b"print('hello')\n"}, {"a.bin": b"\xff"}, {}])
async def test_nothing_to_change_ends_the_agent_with_a_reason(files: Files) -> None:
    bench = Bench(files, lambda _: 1.0)
    with pytest.raises(HarnessError, match="no number and no function body"):
        await bench.run()
    assert bench.asked == 1
    assert "nothing to change" in bench.said


async def test_submissions_that_cost_nothing_do_not_go_on_for_ever() -> None:
    bench = Bench({"solve.py": TABLE}, sphere, direction="minimize")
    bench.refuse = True
    with pytest.raises(HarnessError, match=r"in a row.*big\.bin"):
        await bench.run()
    assert bench.asked == FRUITLESS


async def test_a_space_that_is_used_up_ends_the_agent_with_a_reason() -> None:
    program = b"def main():\n    print()\n    print()\n\n\nmain()\n"
    bench = Bench({"solve.py": program}, lambda files: -len(files["solve.py"]), evaluations=5000)
    with pytest.raises(HarnessError, match=r"in a row.*no new change"):
        await bench.run()
    assert bench.graph.best is not None
    assert bench.trees[bench.graph.best.id]["solve.py"].count(b"pass") == 2


def program(values: Sequence[float]) -> dict[str, Model]:
    found = parse("a.py", f"X = {list(values)}\n".encode())
    assert found is not None
    return {"a.py": found}


def values(change: Change | None) -> list[float]:
    assert change is not None
    return [n.value for n in change.files["a.py"].numbers]


def test_changes_are_repeated_retraced_and_transplanted_along_recorded_differences() -> None:
    old, new, other = program([1.0, 2.0]), program([1.5, 2.0]), program([9.0, 7.0])
    assert values(repeat(Random(0), new, old, 0)) == [1.5 + 1.6 * 0.5, 2.0]
    assert values(repeat(Random(0), new, old, 2)) == [1.5 + 0.4 * 0.5, 2.0]
    assert {values(retreat(Random(n), new, old))[0] for n in range(30)} == {1.5, 1.25, 1.125}
    assert values(transplant(other, new, old)) == [9.5, 7.0]
    longer = program([1.0, 2.0, 3.0])
    assert transplant(other, longer, old) is None
    assert repeat(Random(0), old, old, 0) is None


async def test_step_sizes_follow_the_outcomes() -> None:
    """A judge that forbids large changes teaches small steps."""

    def judge(files: Mapping[str, bytes]) -> float | None:
        value = constants(files).get("X")
        if not isinstance(value, float) or not math.isfinite(value) or abs(value - 1) > 1e-3:
            return None
        return -abs(value - 1.0)

    bench = await Bench({"solve.py": b"X = 1.0005\n"}, judge, evaluations=60, search="greedy").run()
    steps = [abs(a.detail["step"]) for a in bench.graph if "step" in a.detail]
    early, late = steps[:8], steps[-8:]
    assert sorted(late)[4] < sorted(early)[4] / 3
    first = Experience.of(bench.graph)
    assert first.step(Random(0), ("scale_cell",), 0.1) == Experience.of(bench.graph).step(
        Random(0), ("scale_cell",), 0.1
    )


async def test_lessons_of_earlier_runs_set_first_choices_and_steps() -> None:
    key: list[str | int] = ["scale_cell", "solve.py:", 0]
    lessons: list[Any] = [
        {"key": key[:1], "tries": 40, "merit": 0.8, "step": 0.001},
        {"key": key, "tries": 40, "merit": 0.8, "step": 0.001},
        {"key": [], "tries": 1, "merit": 1},
        {"key": ["x"], "tries": "many", "merit": 0},
        "no lesson",
    ]
    insight = make_record("scale", "", kind=RecordKind.INSIGHT, data={"lessons": lessons})
    note = make_record("a note", "", data={"lessons": [{"key": ["y"], "tries": 1, "merit": 1}]})
    found = lessons_of([insight, note])
    assert [lesson.key for lesson in found] == [("scale_cell",), tuple(key)]
    graph = (await Bench({"solve.py": b"X = 1.0\n"}, lambda _: 0.0, evaluations=1).run()).graph
    taught, untaught = Experience.of(graph, found), Experience.of(graph)
    assert taught.step(Random(0), tuple(key), 0.1) < untaught.step(Random(0), tuple(key), 0.1) / 50
    assert taught.merit(("scale_cell",), 0.1) > untaught.merit(("scale_cell",), 0.1)


def test_agents_are_made_by_kind() -> None:
    assert isinstance(make_agent("offline", AgentConfig()), OfflineAgent)
    assert isinstance(make_agent("auto", AgentConfig()), OfflineAgent)
    by_path = make_agent("harness.agents.offline:OfflineAgent", AgentConfig())
    assert isinstance(by_path, OfflineAgent)


@pytest.mark.parametrize("kind", ["ofline", "harness.agents.nowhere:Agent", "harness.agents:Nope"])
def test_an_unknown_kind_is_the_users_mistake(kind: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_agent(kind, AgentConfig())
    assert kind in caught.value.wrong
    if ":" not in kind:
        assert "offline" in caught.value.expected


def test_no_task_is_known_to_the_offline_agent() -> None:
    tasks = [folder.name for folder in (ROOT / "tasks" / "library").iterdir() if folder.is_dir()]
    assert tasks
    modules = ["offline", "tactics", "edits", "recombination", "adaptation", "mutation"]
    for module in modules:
        text = (ROOT / "agents" / f"{module}.py").read_text(encoding="utf-8").lower()
        for name in tasks:
            assert name not in text
            assert name.replace("_", " ") not in text
