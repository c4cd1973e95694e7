"""The document says what the routes do, and the models what the document says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import vla_rl_nodes.link
from link.document import OUTSIDE, document, operations, resolved
from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.link import protocol
from vla_rl_nodes.link.bundles_api import BundlesApi
from vla_rl_nodes.link.episodes_api import EpisodesApi

MODELS = [
    protocol.ServerStatus, protocol.EpisodeState, protocol.BundleAnnouncement,
    protocol.BundleReport, protocol.Problem, Manifest,
]  # fmt: skip
ROOM = Path(vla_rl_nodes.link.__file__).parent
SPEAKING = ("requests", "episodes_api", "bundles_api", "uploads", "connection")
# In modules that every route passes through; the others belong to their own routes.
BODY = {408, 411, 413, 415}
OWN = {
    ("PUT", "/v1/episodes/{id}"): {409, 422, *BODY},
    ("GET", "/v1/episodes/{id}"): {404},
    ("PATCH", "/v1/episodes/{id}"): {404, 409, 422, *BODY},
    ("GET", "/v1/status"): set(),
    ("GET", "/v1/bundles/latest"): set(),
    ("GET", "/v1/bundles/{version}"): {404, 416},
    ("POST", "/v1/bundles/{version}/state"): {422, *BODY},
}
EVERYWHERE = {400, 403, 500, 503}
SUCCESS = {
    ("GET", "/v1/bundles/latest"): {200, 204},
    ("GET", "/v1/bundles/{version}"): {200, 206},
    ("POST", "/v1/bundles/{version}/state"): {204},
}


def routes() -> set[tuple[str, str]]:
    nothing: Any = None
    found = EpisodesApi(nothing, nothing, nothing).routes()
    # Made without its constructor, which belongs to a running loop.
    found += BundlesApi.routes(BundlesApi.__new__(BundlesApi))
    return {(route.method, route.path) for route in found}


def raised() -> set[int]:
    """Every status that the code names."""
    return {
        HTTPStatus[node.attr].value
        for name in SPEAKING
        for node in ast.walk(ast.parse((ROOM / f"{name}.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "HTTPStatus"
    }


def test_every_route_is_documented_and_no_other() -> None:
    assert set(operations()) == routes() == set(OWN)


@pytest.mark.parametrize(("method", "path"), sorted(OWN))
def test_every_status_of_a_route_is_documented_and_no_other(method: str, path: str) -> None:
    told = {int(status) for status in operations()[method, path]["responses"]}
    success = SUCCESS.get((method, path), {200})
    assert told == success | OWN[method, path] | EVERYWHERE


def test_the_code_raises_no_other_status() -> None:
    assert raised() == EVERYWHERE.union(*OWN.values())


def test_every_refusal_is_a_problem() -> None:
    for operation in operations().values():
        for status, response in operation["responses"].items():
            content = resolved(response).get("content", {})
            if int(status) >= 400:
                assert list(content) == [protocol.PROBLEM_TYPE]
                schema = content[protocol.PROBLEM_TYPE]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
    assert all(str(status) in document()["info"]["description"] for status in OUTSIDE)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_schemas_are_those_of_the_models(model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = schema.pop("$defs", {})
    told = document()["components"]["schemas"]
    assert bare(told[model.__name__]) == bare(schema)
    for name, definition in inner.items():
        assert bare(told[name]) == bare(definition)


def test_no_schema_is_left_over() -> None:
    told = set(document()["components"]["schemas"])
    assert told == {model.__name__ for model in MODELS} | {"TopicEntry"}


def test_every_reference_leads_somewhere() -> None:
    for reference in references(document()):
        assert resolved({"$ref": reference}) is not None


@pytest.mark.parametrize(
    "data",
    [
        {"state": "open"},
        {"state": "open", "offset": 1, "size": 2},
        {"state": "open", "offset": -1},
        {"state": "stored", "sha256": "0" * 64},
        {"state": "stored", "sha256": "", "size": 3},
        {"state": "stored", "sha256": "0" * 64, "size": 3, "offset": 3},
        {"state": "lost", "offset": 0},
        {"state": "open", "offset": True},
        {"state": "open", "offset": 1, "more": 1},
    ],
)
def test_a_state_says_all_that_goes_with_it(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        protocol.EpisodeState.model_validate(data)


def test_what_was_left_out_of_a_message_stays_out() -> None:
    assert protocol.EpisodeState(state="open", offset=3).body() == '{"state":"open","offset":3}'


def bare(part: Any) -> Any:
    """Without words for people."""
    if isinstance(part, dict):
        return {
            key: bare(value)
            for key, value in part.items()
            if not (key in ("title", "description") and isinstance(value, str))
        }
    return [bare(value) for value in part] if isinstance(part, list) else part


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)
