"""The task `gpu_kernel` for real: seed, honest submissions and cheats on a GPU.

pytest -m gpu tests/gpu -q -rsP      (the last option shows scores and what is missing)
"""

import importlib.util
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.attempt import Status, Verdict
from harness.evaluators.check import CASES, case_folders, score_folders
from harness.evaluators.config import EvaluatorConfig
from harness.evaluators.gpus.discovery import Gpu
from harness.evaluators.open import open_evaluator
from harness.sandbox.config import SandboxConfig
from harness.tasks.loader import load_task

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.timeout(600)]

TASK = load_task("gpu_kernel")
EXAMPLES = [(kind, name) for kind in CASES for name in case_folders(TASK, kind)]
PACKAGES = {"torch_products": ("torch",), "triton_fused": ("torch", "triton")}
"""Without them these fall back to the seed's kernel, which shows nothing new."""

HOG = """
import ctypes
import direct
import driver
import numpy as np

stream = ctypes.c_void_p()
driver.call("cuStreamCreate", ctypes.byref(stream), 1)
rng = np.random.default_rng(0)
kept = [driver.Buffer.of(rng.normal(size=(150_000, 3)).astype(np.float32)) for _ in range(4)]
for _ in range(100):
    driver.launch(direct.KERNEL, 1200, 128, *kept, 150_000, 150_000, stream=stream)

from direct import structure_factors
"""
"""Keeps the device busy from its start on, and leaves the kernel as it is."""


async def scored(name: str, *folders: Path) -> Verdict:
    config = SandboxConfig(provider="process")
    with TemporaryDirectory() as leases:
        evaluators = EvaluatorConfig(slots=1, lease_dir=Path(leases))
        async with open_evaluator(TASK, config, evaluators) as opened:
            verdict = await score_folders(opened.pool, TASK, TASK.seed, *folders)
    print(f"{name}: {verdict.status} {verdict.score} {dict(verdict.metrics)}\n{verdict.feedback}")
    print(
        "\n".join(f"{each.name} {each.duration_s:.1f} s {each.detail}" for each in verdict.stages)
    )
    return verdict


async def test_the_seed_is_as_fast_as_itself(gpus: list[Gpu]) -> None:
    print(", ".join(f"{gpu.name} ({gpu.uuid})" for gpu in gpus))
    verdict = await scored("seed", TASK.seed)
    assert verdict.score is not None, verdict
    assert 0.5 < verdict.score < 2


@pytest.mark.parametrize(("kind", "name"), EXAMPLES)
async def test_examples(gpus: list[Gpu], kind: str, name: str) -> None:
    missing = [each for each in PACKAGES.get(name, ()) if importlib.util.find_spec(each) is None]
    if "triton" in PACKAGES.get(name, ()) and shutil.which("gcc") is None:
        missing.append("gcc")
    if missing:
        pytest.skip(f"{name} needs {', '.join(missing)}: not installed")
    verdict = await scored(name, TASK.folder / kind / name)
    assert (verdict.status is Status.SCORED) == CASES[kind], verdict


async def test_shared_memory_beats_the_seed(gpus: list[Gpu]) -> None:
    verdict = await scored("shared_memory", TASK.folder / "honest" / "shared_memory")
    assert verdict.score is not None
    assert verdict.score > 1.3


async def test_a_busy_device_does_not_help(gpus: list[Gpu], tmp_path: Path) -> None:
    """The baseline is measured before the candidate has started as well."""
    (tmp_path / "kernel.py").write_text(HOG, encoding="utf-8")
    verdict = await scored("hog", tmp_path)
    assert verdict.score is None or verdict.score < 1.5
