"""The YAML of a served policy: the shipped files load, and what is missing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.engine import load_remote
from vla_rl_nodes.remote.spec import RemotePolicy
from vla_rl_nodes.resources import resource

SHIPPED = sorted(path.stem for path in resource("config/remote").glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_fit_the_shipped_contract(name: str, contract: Contract) -> None:
    with load_remote(name, contract) as engine:
        assert engine.version == f"remote:{name}@unconnected"
        assert 1 <= engine.rows <= contract.action.chunk_length


def test_a_file_for_each_adapter_is_shipped() -> None:
    kinds = {load_yaml(named_file("remote", n), RemotePolicy).protocol.adapter for n in SHIPPED}
    assert kinds == {"openvla", "openvla_oft", "openpi", "octo"}


def test_shipped_files_send_nothing_in_clear_to_another_machine() -> None:
    for name in SHIPPED:
        server = load_yaml(named_file("remote", name), RemotePolicy).server
        assert "127.0.0.1" in server.url and not server.allow_unencrypted


X = {"name": "x", "to": "tool_x", "unit": "1", "scale": 0.05}


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        ("openvla_bridge", "protocol.unnorm_key", None, "unnorm_key: is missing"),
        ("octo_bridge", "protocol.unnorm_key", None, "unnorm_key: is missing"),
        ("openvla_bridge", "protocol.adapter", "rt1", "adapter"),
        ("openvla_bridge", "protocol.adaptor", "openvla", "unknown key"),
        ("openvla_bridge", "server.api_key", "sk-123", "api_key"),
        ("openvla_bridge", "server.allow_unencrypted", "yes", "allow_unencrypted"),
        ("openvla_bridge", "server.answer_s", 0, "answer_s"),
        ("openvla_bridge", "server.largest_answer", 1 << 40, "largest_answer"),
        ("openvla_bridge", "action.axes.0.scale", 0.0, "has no scale"),
        ("openvla_bridge", "action.axes.0.unit", "mm", "unit"),
        ("openvla_oft_libero", "action.axes.0.scale", None, "has no scale"),
        ("openvla_bridge", "action.axes.1.name", "x", "stands twice"),
        ("openvla_bridge", "action.axes.5", {"name": "yaw", "within": 0.1}, "turn axes"),
        ("openvla_bridge", "action.rotation", None, "turn axes"),
        ("openvla_bridge", "action.axes.6.open", 0.0, "the same number"),
        ("openvla_bridge", "action.axes.6.open", None, "is missing"),
        ("openvla_bridge", "action.axes.6.binry", True, "unknown key"),
        ("openvla_bridge", "action.rate_hz", 0, "rate_hz"),
        ("openvla_bridge", "action.outside", "ignore", "outside"),
        ("openpi_pick", "observation.images.1.key", "observation/image", "stands twice"),
        ("openpi_pick", "observation.vectors.0.parts.0.name", None, "give stream and name"),
        ("openpi_pick", "observation.vectors.0.parts.0.constant", 1.0, "give stream and name"),
    ],
)
def test_wrong_values_are_named(
    name: str, path: str, value: Any, said: str, tmp_path: Path
) -> None:
    data = yaml.safe_load(named_file("remote", name).read_text())
    *keys, last = (int(k) if k.isdecimal() else k for k in path.split("."))
    inner = data
    for key in keys:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError) as caught:
        load_yaml(file, RemotePolicy)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
