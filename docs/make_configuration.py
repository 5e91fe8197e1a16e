"""Writes docs/configuration.md from the configuration models: `python docs/make_configuration.py`.

The docstring under each field is its only description.
"""

import ast
import inspect
import itertools
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from harness.agents.config import AgentGroup
from harness.agents.heartbeats.base import HeartbeatRule
from harness.run.config import RunConfig

PAGE = Path(__file__).resolve().parent / "configuration.md"
HEAD = """\
# Configuration

<!-- Written by docs/make_configuration.py from the models; change the docstrings there. -->

A value comes from the first of: a flag, an environment variable, `harness.yaml` in the working
directory (or `--config FILE`), the default. An environment variable is `HARNESS_` and the key in
capitals with `__` for each dot: `HARNESS_BUDGET__USD=20`. Unknown keys are errors. The resolved
configuration is kept in the run (`config.json`); API keys never are: they come from the environment
(`OPENAI_API_KEY`) only.

    agents: 8
    budget: {hours: 8, usd: 20}
    agent: {model: {name: my-model, temperature: 0.7}}
    sandbox: {provider: docker}

| key | meaning | default |
|---|---|---|
"""


LISTED: dict[str, type[BaseModel]] = {"agents": AgentGroup, "heartbeats": HeartbeatRule}
"""Keys that hold lists, and what each element is."""


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field of a model."""
    tree = ast.parse(inspect.getsource(model))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, following in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            found[field.target.id] = " ".join(str(following.value.value).split())
    return found


def nested(annotation: Any) -> type[BaseModel] | None:
    """The model an annotation names, if it names one."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next((found for each in get_args(annotation) if (found := nested(each))), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def rows(model: type[BaseModel], prefix: str = "", *, deep: bool = True) -> Iterator[str]:
    """A table row a key, in the order of the models; keys of keys as well when `deep`."""
    described = descriptions(model)
    for name, field in model.model_fields.items():
        inner = nested(field.annotation) if deep else None
        if inner is not None:
            yield from rows(inner, f"{prefix}{name}.")
            continue
        default = field.get_default(call_default_factory=True)
        shown = "required" if default is PydanticUndefined else f"`{default}`"
        yield f"| `{prefix}{name}` | {described.get(name, '')} | {shown} |"
        if name in LISTED:
            whole = LISTED[name] is HeartbeatRule
            yield from rows(LISTED[name], f"{prefix}{name}[].", deep=whole)


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(rows(RunConfig)) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
