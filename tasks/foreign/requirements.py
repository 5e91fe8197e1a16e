"""The packages that a foreign task needs: as it declares them, else by what it imports."""

import ast
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

WELL_KNOWN = {
    "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "cvxpy": "cvxpy", "jax": "jax",
    "lightgbm": "lightgbm", "lxml": "lxml", "matplotlib": "matplotlib", "networkx": "networkx",
    "numba": "numba", "numpy": "numpy", "optax": "optax", "pandas": "pandas", "PIL": "pillow",
    "pykalman": "pykalman", "pywt": "PyWavelets", "requests": "requests", "scipy": "scipy",
    "shapely": "shapely", "skimage": "scikit-image", "sklearn": "scikit-learn", "sympy": "sympy",
    "torch": "torch", "tqdm": "tqdm", "xgboost": "xgboost", "yaml": "pyyaml",
}  # fmt: skip
"""Distribution by module: nothing else is ever installed because of an import."""


def declared(path: Path) -> tuple[list[str], list[str]]:
    """Requirements in a requirements.txt, and notes on lines that are something else."""
    found: list[str] = []
    notes: list[str] = []
    for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
        line = raw.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        try:
            found.append(str(Requirement(line)))
        except InvalidRequirement:
            notes.append(f"{path.name}: {line!r} is no plain requirement and is passed over")
    return found, notes


def imported(files: Iterable[Path]) -> list[str]:
    """Well-known packages that Python files import at their top level or in functions."""
    modules: set[str] = set()
    for path in files:
        try:
            parsed = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(parsed):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    modules -= set(sys.stdlib_module_names)
    return sorted({WELL_KNOWN[name] for name in modules if name in WELL_KNOWN})


def needed(
    folder: Path, files: Mapping[str, Path | bytes], *, skip: str = ""
) -> tuple[list[str], list[str]]:
    """What a folder's requirements.txt and the programs at its top ask for, and notes."""
    listed: list[str] = []
    notes: list[str] = []
    if (folder / "requirements.txt").is_file():
        listed, notes = declared(folder / "requirements.txt")
    programs = [
        path
        for name, path in files.items()
        if isinstance(path, Path) and name.endswith(".py") and name != skip and "/" not in name
    ]
    return merged(listed, imported(programs)), notes


def merged(*lists: Sequence[str]) -> list[str]:
    """Each requirement once; the first that names a distribution wins."""
    kept: dict[str, str] = {}
    for lines in lists:
        for line in lines:
            kept.setdefault(Requirement(line).name.lower().replace("_", "-"), line)
    return list(kept.values())
