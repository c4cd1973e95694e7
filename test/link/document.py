"""config/link/openapi.yaml, as far as the tests need it resolved."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import yaml

from vla_rl_nodes.resources import resource

OUTSIDE = (404, 405, 417)  # what the document says in words, of no path in it


@lru_cache
def document() -> dict[str, Any]:
    """The whole document."""
    found = yaml.safe_load(resource("config/link/openapi.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def resolved(part: Any) -> Any:
    """What a reference points to."""
    while isinstance(part, dict) and "$ref" in part:
        target: Any = document()
        for key in part["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        part = target
    return part


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """By method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def check_documented(method: str, path: str, status: int, content_type: str | None) -> None:
    """Fails where an answer is not in the document."""
    path = path.partition("?")[0]
    for known_method, template in operations():
        pattern = re.sub(r"\{[a-z]+\}", "[^/]+", template)
        literal = template.count("{") == 0
        if known_method == method and re.fullmatch(pattern, path):
            if not literal and ("GET", path) in operations():
                continue  # /v1/bundles/latest is no version
            responses = operations()[known_method, template]["responses"]
            assert str(status) in responses, f"{method} {path} answered with {status}"
            content = resolved(responses[str(status)]).get("content")
            shown = content_type and content_type.partition(";")[0]
            assert (shown in content) if content else shown is None, (method, path, content_type)
            return
    assert status in (*OUTSIDE, 403, 400), f"{method} {path} answered with {status}"
