"""The judge of sort_kernel: a machine that copies and compares, run on every order type."""

import json
import random
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.tasks.library.sort_kernel.evaluator.judge import (
    Instruction,
    judge,
    order_types,
    run,
)

NETWORK = [(0, 1), (3, 4), (2, 4), (2, 3), (1, 4), (0, 3), (0, 2), (1, 3), (1, 2)]
FILE = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def program(network: list[tuple[int, int]], register: tuple[int, ...] = tuple(range(6))) -> Any:
    """A program from a network; `register` names the registers of the five values and of a copy."""
    *values, copy = register
    lines: list[list[Any]] = [["load", values[i], i] for i in range(5)]
    for i, j in network:
        a, b = values[i], values[j]
        lines += [["mov", copy, a], ["cmp", a, b], ["cmovg", a, b], ["cmovg", b, copy]]
    return lines + [["store", i, values[i]] for i in range(5)]


def verdict(folder: Path, document: Any) -> dict[str, Any]:
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "program.json").write_text(text, encoding="utf-8")
    return judge(folder, folder, 0)


def test_a_sorting_network_scores_its_length(tmp_path: Path) -> None:
    answer = verdict(tmp_path, program(NETWORK))
    assert answer["score"] == 5 + 4 * 9 + 5
    assert answer["metrics"] == {
        "cmp": 9, "conditional_moves": 18, "load": 5, "mov": 9, "store": 5, "registers": 6,
    }  # fmt: skip


@FILE
@given(st.permutations(range(14)))
def test_the_names_of_the_registers_do_not_matter(tmp_path: Path, names: list[int]) -> None:
    assert verdict(tmp_path, program(NETWORK, tuple(names[:6])))["score"] == 46


def test_no_instruction_of_the_shortest_network_can_be_left_out(tmp_path: Path) -> None:
    for index in range(46):
        lines = program(NETWORK)
        del lines[index]
        answer = verdict(tmp_path, lines)
        assert answer["score"] is None, f"without instruction {index}"
        assert any(fault in answer["feedback"] for fault in ("becomes", "unset", "before any cmp"))


@FILE
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=14))
def test_a_program_is_accepted_if_and_only_if_it_sorts_random_inputs(
    tmp_path: Path, exchanges: list[tuple[int, int]]
) -> None:
    network = [(i, j) for i, j in exchanges if i < j]
    lines: list[Instruction] = [(n, a, b) for n, a, b in program(network)]
    rng = random.Random(len(network))
    inputs = [tuple(rng.choices(range(-4, 4), k=5)) for _ in range(50)]
    inputs += list(permutations((-(2**63), -1, 0, 7, 2**63)))
    sorts = all(run(lines, values) == sorted(values) for values in inputs)
    assert (verdict(tmp_path, lines)["score"] is not None) == sorts


def test_every_way_to_order_five_values_is_tried_once() -> None:
    ranks = {tuple(sorted(set(v)).index(x) for x in v) for v in product(range(6), repeat=5)}
    assert sorted(ranks) == sorted(order_types())
    assert len(ranks) == 541


@pytest.mark.parametrize(
    ("name", "moves"),
    [("cmovl", (1, 0, 0)), ("cmovle", (1, 1, 0)), ("cmovg", (0, 0, 1)), ("cmovge", (0, 1, 1))],
)
def test_conditional_moves_act_on_the_latest_comparison(
    name: str, moves: tuple[int, int, int]
) -> None:
    lines: list[Instruction] = [("load", 0, 0), ("load", 1, 1), ("load", 2, 2), ("load", 3, 3)]
    lines += [("cmp", 0, 1), (name, 2, 3), ("store", 4, 2)]
    for moved, first in zip(moves, (4, 5, 6), strict=True):
        assert run(lines, (first, 5, 0, 1, 9))[4] == moved


@pytest.mark.parametrize(
    ("instruction", "says"),
    [
        (["mov", 5, 9], "reads register 9, which is unset"),
        (["cmp", 0, 13], "reads register 13"),
        (["store", 0, 6], "reads register 6"),
        (["cmovg", 6, 0], "reads register 6"),
        (["cmovg", 0, 1], "before any cmp"),
        (["load", 14, 0], "in range"),
        (["load", 0, 5], "in range"),
        (["store", 5, 0], "in range"),
        (["store", -1, 0], "in range"),
        (["mov", True, 0], "in range"),
        (["mov", 1.0, 0], "in range"),
        (["mov", "1", 0], "in range"),
        (["mov", 10**400, 0], "in range"),
        (["swap", 0, 1], "[name, a, b]"),
        ([["mov"], 0, 1], "[name, a, b]"),
        (["mov", 0], "[name, a, b]"),
        (["mov", 0, 1, 2], "[name, a, b]"),
        ("mov 0 1", "[name, a, b]"),
        (None, "[name, a, b]"),
        ({"mov": 0}, "[name, a, b]"),
    ],
)
def test_a_faulty_instruction_is_named(tmp_path: Path, instruction: Any, says: str) -> None:
    lines = program(NETWORK)
    lines.insert(5, instruction)
    answer = verdict(tmp_path, lines)
    assert answer["score"] is None
    assert "instruction 5" in answer["feedback"]
    assert says in answer["feedback"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", "[" * 60_000, "[NaN]", " " * 70_000])
def test_another_document_is_refused(tmp_path: Path, text: str) -> None:
    assert verdict(tmp_path, text)["score"] is None


def test_a_program_of_more_than_200_instructions_is_refused(tmp_path: Path) -> None:
    padding = [["mov", 5, 0]] * 154
    lines = program(NETWORK)
    assert verdict(tmp_path, lines + padding)["score"] == 200
    assert "200 instructions" in verdict(tmp_path, lines + padding + padding[:1])["feedback"]
