"""YAML files read strictly into pydantic models; a mistake names file, line, key and remedy."""

import difflib
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import UserError

MAX_FILE_BYTES = 1024 * 1024

ModelT = TypeVar("ModelT", bound=BaseModel)
KeyPath = Sequence[str | int]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain scalars (`no` is text, `1e-3` a number) and no key twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own class attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                first = seen.setdefault(key.value, key.start_mark.line + 1)
                if first != key.start_mark.line + 1:
                    raise yaml.constructor.ConstructorError(
                        problem=f"key {key.value!r} is there twice, on line {first} as well",
                        problem_mark=key.start_mark,
                    )
        return super().construct_mapping(node, deep=deep)


_INT = re.compile(r"^[-+]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_model(path: Path, model: type[ModelT], error: type[UserError]) -> ModelT:
    """The content of a YAML file as `model`.

    Raises:
        error: Unreadable, not YAML, a key twice, unknown or missing, a value of the wrong type;
            built with the three lines of a `UserError`.
    """
    node, data = _parse(path, error)
    try:
        return model.model_validate(data, strict=True)
    except ValidationError as invalid:
        problems = invalid.errors(include_url=False, include_context=False)
        # A typo shows up twice, as an unknown key and as a missing one: the first explains both.
        first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
        raise _explain(path, node, model, first, len(problems) - 1, error) from None


def _parse(path: Path, error: type[UserError]) -> tuple[yaml.Node | None, Any]:
    try:
        raw = path.read_bytes()
    except OSError as failed:
        raise error(
            f"{path} cannot be read: {failed.strerror}",
            expected="a readable YAML file",
            action=f"check that the file exists and its permissions: ls -l {path}",
        ) from None
    if len(raw) > MAX_FILE_BYTES:
        raise error(
            f"{path} has {len(raw)} bytes",
            expected=f"at most {MAX_FILE_BYTES} bytes",
            action="move data into files of their own",
        )
    try:
        loader = _Loader(raw.decode("utf-8"))
        node = loader.get_single_node()
        data: Any = None if node is None else loader.construct_document(node)
    except UnicodeDecodeError as failed:
        raise error(
            f"{path} is not UTF-8 (byte {failed.start})",
            expected="YAML in UTF-8",
            action="save the file as UTF-8",
        ) from None
    except yaml.YAMLError as failed:
        where, what = _describe(failed)
        raise error(
            f"{path}{where}: {what}",
            expected="one YAML document, each key once",
            action=f"correct {path}{where}",
        ) from None
    except (RecursionError, ValueError, OverflowError) as failed:
        raise error(
            f"{path}: {type(failed).__name__} while reading it",
            expected="plain YAML: mappings, lists, texts and numbers",
            action="remove deep nesting, anchors and tags",
        ) from None
    return node, {} if data is None else data


def _describe(failed: yaml.YAMLError) -> tuple[str, str]:
    if isinstance(failed, yaml.MarkedYAMLError) and failed.problem_mark is not None:
        problem = " ".join((failed.problem or failed.context or "not YAML").split())
        return f":{failed.problem_mark.line + 1}", problem
    return "", " ".join(str(failed).split())


def _explain(
    path: Path,
    node: yaml.Node | None,
    model: type[BaseModel],
    problem: ErrorDetails,
    others: int,
    error: type[UserError],
) -> UserError:
    location = problem["loc"]
    where = f"{path}:{_line(node, location)}"
    more = f" (and {others} more)" if others else ""
    key = key_name(location)
    if not location:
        return error(
            f"{where}: not a mapping", expected="`key: value` lines", action=f"correct {path}"
        )
    if problem["type"] == "union_tag_invalid":
        location = (*location, "kind")
        kinds = [tag.strip("<>") for tag in _tagged(_field_at(model, location[:-1]))]
        value = problem["input"]["kind"]
        nearest = difflib.get_close_matches(str(value), kinds, n=1)
        return error(
            f"{path}:{_line(node, location)}: {key_name(location)!r} is {_short(value)}{more}",
            expected=f"one of {', '.join(kinds)}",
            action=f"did you mean {nearest[0]!r}?" if nearest else f"correct it in {path.name}",
        )
    if problem["type"] == "extra_forbidden":
        valid = _keys_at(model, location[:-1])
        nearest = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
        owners = _owners(model, location)
        action = f"remove it from {path.name}"
        if owners:
            action = f"remove it: it is a key of the kind {' or '.join(owners)}"
        elif nearest:
            action = f"did you mean {key_name([*location[:-1], nearest[0]])!r}? Rename or remove it"
        return error(
            f"{where}: unknown key {key!r}{more}",
            expected=f"one of {', '.join(valid)}" if valid else "no keys here",
            action=action,
        )
    if problem["type"] == "missing":
        return error(
            f"{where}: key {key!r} is missing{more}",
            expected=f"{key!r} in {path.name}",
            action=f"add `{location[-1]}: …`",
        )
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return error(
        f"{where}: {key!r} is {_short(problem['input'])}{more}",
        expected=message.removeprefix("a valid "),
        action=f"correct {key!r} in {path.name}",
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def key_name(location: KeyPath) -> str:
    """`("evaluator", "produce", 0)` as `evaluator.produce[0]`; `<tags>` of unions are left out."""
    text = ""
    for part in location:
        if _is_tag(part):
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _line(node: yaml.Node | None, location: KeyPath) -> int:
    """Line (from 1) of the deepest part of `location` that is in the file."""
    line = 1
    for part in location:
        if _is_tag(part):
            continue
        step: tuple[yaml.Node, yaml.Node] | None = None
        if isinstance(node, yaml.MappingNode):
            step = next((pair for pair in node.value if pair[0].value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            step = (node.value[part], node.value[part]) if part < len(node.value) else None
        if step is None:
            return line
        line, node = step[0].start_mark.line + 1, step[1]
    return line


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and part.startswith("<")


def _field_at(model: type[BaseModel], location: KeyPath) -> Any:
    """The annotation of the key at `location`, None where there is no such key."""
    current: Any = model
    for part in location:
        if _is_tag(part):
            current = _tagged(current).get(str(part), current)
            continue
        holder = _model_in(current)
        field = holder.model_fields.get(str(part)) if holder is not None else None
        current = field.annotation if field is not None else None
    return current


def _keys_at(model: type[BaseModel], location: KeyPath) -> list[str]:
    found = _model_in(_field_at(model, location))
    return list(found.model_fields) if found is not None else []


def _owners(model: type[BaseModel], location: KeyPath) -> list[str]:
    """Kinds other than the one chosen that have the key at the end of `location`."""
    *parents, key = location
    if not parents or not _is_tag(parents[-1]):
        return []
    members = _tagged(_field_at(model, parents[:-1]))
    return [
        tag.strip("<>")
        for tag, member in members.items()
        if tag != parents[-1] and str(key) in member.model_fields
    ]


def _tagged(annotation: Any) -> dict[str, Any]:
    """Members of a union by their tag."""
    found: dict[str, Any] = {}
    for member in get_args(annotation):
        if get_origin(member) is Annotated:
            model, *notes = get_args(member)
            found |= {note.tag: model for note in notes if isinstance(note, Tag)}
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    candidates = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    for candidate in (annotation, *candidates):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
