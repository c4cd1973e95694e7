"""YAML files in, validated models out; a wrong key, unit or range is one line."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource

Model = TypeVar("Model", bound=BaseModel)
LARGEST_FILE = 1 << 20


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which plain YAML silently overwrites."""


def _mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            line = key_node.start_mark.line + 1
            raise _KeyError(f"line {line}: key {key!r} is not text", "quote it or rename it")
        if key in seen:
            line = key_node.start_mark.line + 1
            raise _KeyError(f"line {line}: key '{key}' stands twice", "keep one of them")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class _KeyError(Exception):
    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(problem)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: missing, too large, not UTF-8, not YAML, a repeated key, or not a mapping.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(path, "is larger than 1 MiB", "give a configuration file")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", "save it as UTF-8") from error
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except _KeyError as error:
        raise InputError(path, error.problem, error.remedy) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        what = getattr(error, "problem", None) or "not valid YAML"
        raise InputError(path, f"{line}{what}", "correct the YAML syntax") from error
    if not isinstance(data, dict):
        raise InputError(path, "holds no mapping of keys to values", "see config/ for examples")
    return data


def load_yaml(path: Path, model: type[Model]) -> Model:
    """A YAML file validated against a pydantic model.

    Raises:
        InputError: the file is unreadable, or names the first wrong key, what was expected there
            and the remedy.
    """
    data = read_yaml(path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        key, problem, remedy = _first_problem(error, model)
        place = f"{path}: {key}" if key else str(path)
        raise InputError(place, problem, remedy) from error


def _first_problem(error: ValidationError, model: type[BaseModel]) -> tuple[str, str, str]:
    # An unknown key explains a missing one beside it, so it is told first.
    problems = error.errors(include_url=False)
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    key = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "remove it"
        return key, f"unknown key{more}", hint
    if kind == "missing":
        return key, f"is missing{more}", "add it"
    given = repr(first["input"])
    given = given if len(given) <= 60 else given[:57] + "..."
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in ("value_error", "assertion_error"):
        problem, _, remedy = message.partition("; ")
        return key, problem + more, remedy or "correct it"
    return key, f"{message[0].lower()}{message[1:]}, found {given}{more}", "correct the value"


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return []
        current = _inner_model(field.annotation)
    return list(getattr(current, "model_fields", {}))


def _inner_model(annotation: Any) -> Any:
    for inner in getattr(annotation, "__args__", ()) or ():
        found = _inner_model(inner)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return annotation


def load_contract(name_or_path: str | Path) -> Contract:
    """A contract by the name of a shipped file (``franka_pick``) or by path.

    Raises:
        InputError: see :func:`load_yaml`.
    """
    return load_yaml(named_file("contracts", name_or_path), Contract)


def named_file(folder: str, name_or_path: str | Path) -> Path:
    """The path of ``config/<folder>/<name>.yaml``, or the path itself when one is given.

    Raises:
        InputError: no shipped file has that name.
    """
    text = str(name_or_path)
    if "/" in text or text.endswith((".yaml", ".yml")):
        return Path(text).expanduser()
    base = resource(f"config/{folder}")
    path = base / f"{text}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in base.glob("*.yaml")))
        raise InputError(
            text or "''", f"is none of config/{folder}: {names}", "give one or a path"
        )
    return path
