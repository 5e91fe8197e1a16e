"""The templates: shipped beside this file, or a user's own of the same names."""

import functools
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from harness.errors import ConfigurationError

SUFFIX = ".md.j2"

TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a template of a user's own can raise when it is compiled or rendered."""


@functools.cache
def environment(folders: tuple[Path, ...] = ()) -> jinja2.Environment:
    """Templates from the first of `folders` that has one of the name, else the shipped one."""
    own = [jinja2.FileSystemLoader([str(folder) for folder in folders])] if folders else []
    # In a sandbox: a task folder may come from anyone, and its prompts with it.
    return SandboxedEnvironment(
        loader=jinja2.ChoiceLoader([*own, jinja2.PackageLoader("harness.agents", "prompts")]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def render(folders: Sequence[Path], name: str, **values: Any) -> str:
    """The template `name` with `values`."""
    return environment(tuple(folders)).get_template(name + SUFFIX).render(**values).strip()


def shipped() -> set[str]:
    """Names of the shipped templates, without the suffix."""
    folder = resources.files("harness.agents").joinpath("prompts")
    return {
        file.name.removesuffix(SUFFIX) for file in folder.iterdir() if file.name.endswith(SUFFIX)
    }


def own_templates(folder: Path) -> dict[str, Path]:
    """The templates in a user's folder by name.

    Raises:
        ConfigurationError: No such folder, or a file that stands in for none of the shipped ones.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"no folder of prompts at {folder}",
            expected=f"a folder with files such as system{SUFFIX}",
            action="correct agent.prompts in harness.yaml, or make the folder",
        )
    known = shipped()
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        # A heartbeat rule of the user's own has a prompt of its own.
        if name not in known and not name.startswith("heartbeat_"):
            raise ConfigurationError(
                f"the prompt {path} stands in for none",
                expected=f"one of {', '.join(sorted(known))}",
                action="rename or remove the file",
            )
        found[name] = path
    return found


def broken(path: Path, error: Exception) -> ConfigurationError:
    """What is said of a template that cannot be rendered."""
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if line else ""
    return ConfigurationError(
        f"the prompt {path}{where} cannot be rendered: {error}",
        expected="a Jinja2 template that uses what the shipped one of its name uses",
        action="correct or remove the file",
    )
