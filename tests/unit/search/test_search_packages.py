"""The benchmark that drives published search packages: its server, dialects, control, runner."""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from benchmarks.search.__main__ import policy_named
from benchmarks.search.drive import Pure, search
from benchmarks.search.packages.__main__ import problem_of
from benchmarks.search.packages.control import search_over_http
from benchmarks.search.packages.dialects import Dialect, Plain, Wish, fenced
from benchmarks.search.packages.gepa import GepaDialect
from benchmarks.search.packages.inside import ask
from benchmarks.search.packages.openevolve import OpenEvolveDialect
from benchmarks.search.packages.package import (
    INSIDE,
    Assignment,
    Outcome,
    Package,
    installed_version,
    run_package,
)
from benchmarks.search.packages.report import Search, load, save, table
from benchmarks.search.packages.server import JUDGE, PROPOSER, ModelServer, curve
from benchmarks.search.packages.shinka import ShinkaDialect
from benchmarks.search.packages.source import body, programs, read, source
from benchmarks.search.problems import Multimodal, Program
from benchmarks.search.proposer import propose
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from harness.attempt import Operator
from harness.errors import UserError

CURRENT = Program((), (0.1, -0.25, 1e-17))
OTHER = Program((), (0.5, 0.75, -1.0))
THIRD = Program((), (0.3, 0.2, 0.1))

finite = st.floats(-1.0, 1.0)


@given(st.lists(st.integers(0, 9)), st.lists(finite, min_size=1))
def test_source_is_the_program_to_the_last_digit(
    choices: list[int], constants: list[float]
) -> None:
    program = Program(tuple(choices), tuple(constants))
    namespace: dict[str, object] = {}
    exec(source(program), namespace)  # noqa: S102 - it must be Python
    assert (namespace["CHOICES"], namespace["CONSTANTS"]) == (choices, constants)
    assert read(source(program).strip()) == program


def test_only_whole_files_count_as_programs() -> None:
    text = f"changed\n{body(OTHER)}to\n{body(THIRD)}\n{fenced(CURRENT)} and {fenced(OTHER)}"
    assert programs(text) == [CURRENT, OTHER]
    with pytest.raises(ValueError, match="2 programs"):
        read(text)
    with pytest.raises(ValueError, match="broken"):
        source(Program((), (0.0,), broken=True))


OPENEVOLVE = (
    f"# Program Evolution History\n### Program 1 (Score: 1)\n{fenced(OTHER)}\n"
    f"### Program 2\n{fenced(CURRENT)}\n### Inspiration 1\n{fenced(OTHER)}\n{fenced(THIRD)}\n"
    f"# Current Program\n{fenced(CURRENT)}\n\n# Task\n"
)
SHINKA = (
    f"# Prior programs\n\n{fenced(OTHER)}\n# Current program\n\nHere it is:\n\n{fenced(CURRENT)}"
)


@pytest.mark.parametrize(
    ("dialect", "system", "prompt", "wish"),
    [
        pytest.param(
            OpenEvolveDialect(),
            "",
            f"{OPENEVOLVE}You MUST use the exact SEARCH/REPLACE diff format",
            Wish(Operator.IMPROVE, CURRENT, references=[OTHER, THIRD], diff=True),
            id="openevolve: change",
        ),
        pytest.param(
            OpenEvolveDialect(),
            "",
            f"{OPENEVOLVE}Provide the complete new program code.",
            Wish(Operator.IMPROVE, CURRENT, references=[OTHER, THIRD]),
            id="openevolve: rewrite",
        ),
        pytest.param(
            ShinkaDialect(),
            "You MUST respond with\n<DIFF>\n",
            SHINKA,
            Wish(Operator.IMPROVE, CURRENT, references=[OTHER], diff=True),
            id="shinka: change",
        ),
        pytest.param(
            ShinkaDialect(),
            "You MUST respond with\n<CODE>\n",
            SHINKA,
            Wish(Operator.IMPROVE, CURRENT, references=[OTHER]),
            id="shinka: rewrite",
        ),
        pytest.param(
            ShinkaDialect(),
            "<CODE>",
            f"{SHINKA}\n# Crossover Inspiration Programs\n{fenced(THIRD)}",
            Wish(Operator.FUSE, CURRENT, references=[THIRD]),
            id="shinka: crossover",
        ),
        pytest.param(
            GepaDialect(),
            "",
            f"The current parameter value is:\n```\n{source(CURRENT)}\n```\nEvaluation data:",
            Wish(Operator.IMPROVE, CURRENT),
            id="gepa",
        ),
        pytest.param(
            Plain(),
            "",
            Plain().ask(Wish(Operator.EVOLVE, CURRENT, OTHER, [THIRD, CURRENT])),
            Wish(Operator.EVOLVE, CURRENT, OTHER, [THIRD, CURRENT]),
            id="control",
        ),
    ],
)
def test_the_answer_holds_the_child_of_the_suites_proposer(
    dialect: Dialect, system: str, prompt: str, wish: Wish
) -> None:
    assert dialect.read(system, prompt) == wish
    problem = Multimodal("rastrigin", 3, random.Random(1))
    expected = propose(
        problem, wish.operator, wish.base, wish.parent, wish.references, random.Random(5)
    )
    with ModelServer(problem, dialect, random.Random(5)) as server:
        client = OpenAI(base_url=server.url, api_key="none", max_retries=0)
        completion = client.chat.completions.create(
            model=PROPOSER,
            messages=[
                {"role": "system", "content": system},
                {"role": "user", "content": [{"type": "text", "text": prompt}]},
            ],
        )
        assert server.proposals == 1
    answer = completion.choices[0].message.content or ""
    changed = source(CURRENT)
    if wish.diff:
        before, _, after = answer.partition("<<<<<<< SEARCH\n")[2].partition("=======\n")
        assert before in changed
        changed = changed.replace(before, after.partition(">>>>>>> REPLACE")[0])
    else:
        changed = answer
    assert read(changed) == expected


def test_scores_are_counted_in_order_and_refusals_kept() -> None:
    problem = Multimodal("ackley", 3, random.Random(1))
    with ModelServer(problem, GepaDialect(), random.Random(0)) as server:
        for each in (problem.seed, OTHER, CURRENT):
            assert float(ask(server.url, JUDGE, source(each))) == problem.true(each)
        with pytest.raises(OSError, match="400"):
            ask(server.url, PROPOSER, "Summarise what was tried.")
    assert server.scores == [problem.true(each) for each in (problem.seed, OTHER, CURRENT)]
    assert server.scores[0] == 0.0
    assert len(server.refused) == 1
    assert server.proposals == 0


def test_failures_and_noise_are_no_problem_for_a_package() -> None:
    failing = Multimodal("ackley", 3, random.Random(1), failing=0.1)
    with pytest.raises(ValueError, match="conventions"):
        ModelServer(failing, Plain(), random.Random(0))


def test_curve_is_the_best_so_far_of_as_many_as_count() -> None:
    assert curve([0.0, 0.3, -1.0, 0.4, 0.9], 4).best == [0.0, 0.3, 0.3, 0.4]
    held = curve([0.0, 0.5], 4)
    assert held.best == [0.0, 0.5, 0.5, 0.5]
    assert held.area == 0.375
    with pytest.raises(ValueError, match="nothing"):
        curve([], 3)


@pytest.mark.parametrize("policy", ["progressive", "greedy", "OpenEvolve"])
@pytest.mark.parametrize("family", ["rastrigin10", "deceptive", "halves"])
def test_the_control_is_the_suites_own_course(policy: str, family: str) -> None:
    """Whatever the wire lost, a digit or a reference, would lead another way."""
    over_http = search_over_http(policy_named(policy, 3), problem_of(family, 3), 60, 3)
    own = search(policy_named(policy, 3), Pure(problem_of(family, 3)), 60, 3)
    assert over_http.best == own.best


CLIMBER = """\
import os, sys
from evaluator import URL, ask, evaluate
best = open("program.py").read()
top = evaluate("program.py")["combined_score"]
for number in range(int(sys.argv[1])):
    child = ask(os.environ[URL], "proposer", best).partition("```python\\n")[2].removesuffix("```")
    open("child.py", "w").write(child)
    score = evaluate("child.py")["combined_score"]
    if score > top:
        best, top = child, score
"""


class Climber:
    """A package as small as can be: greedy, with the interpreter of the tests."""

    distribution = "climber"
    dialect: Dialect = GepaDialect()

    def __init__(self, ending: str = "") -> None:
        self._program = CLIMBER + ending

    def prepare(self, assignment: Assignment) -> Sequence[str]:
        folder = assignment.folder
        (folder / "evaluator.py").write_bytes(INSIDE.read_bytes())
        (folder / "program.py").write_text(assignment.program, encoding="utf-8")
        (folder / "climb.py").write_text(self._program, encoding="utf-8")
        return [sys.executable, "climb.py", str(assignment.evaluations - 1)]


def test_a_package_runs_with_the_suites_proposer_and_score(tmp_path: Path) -> None:
    package: Package = Climber()
    problem = problem_of("rastrigin10", 0)
    found = run_package(package, tmp_path, problem, 30, 0)
    assert (found.evaluations, found.proposals) == (30, 29)
    assert found.course.best[0] == 0.0
    assert found.course.best == sorted(found.course.best)
    assert found.course.best[-1] > 0.1
    assert found.cpu_s > 0.0
    assert run_package(package, tmp_path, problem, 30, 0).course == found.course


@pytest.mark.parametrize(
    ("ending", "told"),
    [("sys.exit('no more ideas')", "no more ideas"), ("ask(os.environ[URL], 'x', '?')", "refused")],
)
def test_a_package_that_fails_is_no_result(tmp_path: Path, ending: str, told: str) -> None:
    with pytest.raises(RuntimeError, match=told):
        run_package(Climber(ending), tmp_path, problem_of("rastrigin10", 0), 3, 0)


def test_shinkas_evaluator_writes_the_files_it_reads(tmp_path: Path) -> None:
    problem = problem_of("deceptive", 1)
    program = tmp_path / "main.py"
    program.write_text(source(problem.seed), encoding="utf-8")
    with ModelServer(problem, ShinkaDialect(), random.Random(0)) as server:
        subprocess.run(
            [sys.executable, INSIDE, "--program_path", program, "--results_dir", tmp_path / "r"],
            env={"SEARCH_BENCHMARK_URL": server.url},
            check=True,
        )
    assert json.loads((tmp_path / "r" / "metrics.json").read_bytes())["combined_score"] == 0.0
    assert json.loads((tmp_path / "r" / "correct.json").read_bytes())["correct"] is True


def test_a_missing_package_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pip install openevolve") as told:
        installed_version("openevolve", tmp_path / "venv")
    assert "not installed" in str(told.value)


@pytest.mark.parametrize(("venv", "told"), [((), "--venv"), (("--venv", "empty"), "pip install")])
def test_the_command_tells_what_it_lacks_in_three_lines(venv: Sequence[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.search.packages", "--package", "gepa", *venv],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3
    assert told in done.stderr


def test_one_table_of_saved_searches(tmp_path: Path) -> None:
    """20 seeds are compared with `progressive`, 3 are not; what was not run is told."""

    def outcomes(name: str, level: float, seeds: int, families: str) -> dict[Search, Outcome]:
        return {
            Search(name, family, seed): Outcome(curve([0.0, level + seed / 100], 4), 5, 3, 0.01)
            for family in families
            for seed in range(seeds)
        }

    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    found = outcomes("progressive", 0.5, 20, "ab")
    save({**found, **outcomes("behind", 0.4, 20, "ab")}, ours)
    save({**outcomes("ahead", 0.6, 20, "a"), **outcomes("few", 0.1, 3, "ab")}, theirs)
    loaded = load([ours, theirs])
    assert {key: loaded[key] for key in found} == found
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table(loaded).splitlines()]
    spread = "±0.059"
    assert rows[2] == [
        *("progressive", f"0.595 {spread}", "0.446 ±0.044", f"0.595 {spread}", "0.446 ±0.044"),
        *("20", "5", "3", "2.00"),
    ]
    assert rows[3][1:3] == [f"0.495 {spread} >", "0.371 ±0.044 >"]
    assert rows[4][1:6] == [f"0.695 {spread} <", "0.521 ±0.044 <", "not run", "not run", "20, 0"]
    assert rows[5][1:6] == ["0.110 ±0.010", "0.083 ±0.007", "0.110 ±0.010", "0.083 ±0.007", "3"]
    with pytest.raises(UserError, match="second time"):
        load([ours, ours])
    save({Search("short", "a", 0): Outcome(curve([0.0], 2), 1, 0, 0.0)}, theirs)
    with pytest.raises(UserError, match="different lengths"):
        load([ours, theirs])
    with pytest.raises(UserError, match="no file"):
        load([tmp_path / "none.json"])
