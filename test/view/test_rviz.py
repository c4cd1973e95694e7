"""The rviz configuration names what the graph publishes, as it is published."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

import vla_rl_nodes.nodes
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes import qos
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot

CONTRACT = load_contract("franka_pick")
ROBOT = load_robot(CONTRACT.robot)
NODES = Path(vla_rl_nodes.nodes.__file__).parent
# robot_state_publisher's, which the robot's driver starts.
DESCRIPTION = f"/{ROBOT.name}/robot_description"

TOPIC = {"Depth", "Durability Policy", "History Policy", "Reliability Policy", "Value"}
ANY = {"Class", "Enabled", "Name", "Value"}
# What rviz_default_plugins calls each display's properties, and the message that it shows.
DISPLAYS: dict[str, tuple[str | None, set[str]]] = {
    "Grid": (None, {"Alpha", "Cell Size", "Color", "Line Style", "Normal Cell Count", "Offset",
                    "Plane", "Plane Cell Count", "Reference Frame"}),
    "RobotModel": ("String", {"Alpha", "Collision Enabled", "Description File",
                              "Description Source", "Description Topic", "Links",
                              "Mass Properties", "TF Prefix", "Update Interval",
                              "Visual Enabled"}),
    "TF": (None, {"Filter (blacklist)", "Filter (whitelist)", "Frame Timeout", "Frames",
                  "Marker Scale", "Show Arrows", "Show Axes", "Show Names", "Tree",
                  "Update Interval"}),
    "MarkerArray": ("MarkerArray", {"Namespaces", "Topic"}),
    "Path": ("Path", {"Alpha", "Buffer Length", "Color", "Head Diameter", "Head Length", "Length",
                      "Line Style", "Line Width", "Offset", "Pose Color", "Pose Style", "Radius",
                      "Shaft Diameter", "Shaft Length", "Topic"}),
    "Image": ("Image", {"Max Value", "Median window", "Min Value", "Normalize Range", "Topic"}),
}  # fmt: skip
SHOWN: list[dict[str, Any]] = yaml.safe_load(resource("config/rviz/operator.rviz").read_text())[
    "Visualization Manager"
]["Displays"]


def published() -> dict[str, tuple[str, str]]:
    """Message and profile of every topic that a node names in its source, and of the images."""
    found = {}
    streams = set()
    for source in NODES.glob("*.py"):
        for call in ast.walk(ast.parse(source.read_text())):
            named = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
            if not named or call.func.attr != "create_publisher" or len(call.args) != 3:
                continue
            message, topic, profile = call.args
            if not isinstance(message, ast.Name) or not isinstance(profile, ast.Name):
                continue
            if isinstance(topic, ast.Constant):
                found[f"/{ROBOT.name}/{topic.value}"] = message.id, profile.id
            elif ast.unparse(topic) == "stream.topic":
                streams.add((message.id, profile.id))
    assert len(streams) == 1
    for stream in CONTRACT.streams:
        if stream.kind == "image":
            found[f"/{ROBOT.name}/{stream.topic}"] = next(iter(streams))
    return found


def asked(topic: dict[str, Any]) -> QoSProfile:
    """The profile that rviz asks for."""
    reliable = {
        "Reliable": ReliabilityPolicy.RELIABLE,
        "Best Effort": ReliabilityPolicy.BEST_EFFORT,
    }
    durable = {"Transient Local": DurabilityPolicy.TRANSIENT_LOCAL,
               "Volatile": DurabilityPolicy.VOLATILE}  # fmt: skip
    assert topic["History Policy"] == "Keep Last"
    return QoSProfile(
        depth=topic["Depth"], history=HistoryPolicy.KEEP_LAST,
        reliability=reliable[topic["Reliability Policy"]],
        durability=durable[topic["Durability Policy"]],
    )  # fmt: skip


@pytest.mark.parametrize("display", SHOWN, ids=[display["Name"] for display in SHOWN])
def test_a_display_is_one_of_rviz_and_hears_what_is_published(display: dict[str, Any]) -> None:
    package, _, kind = display["Class"].partition("/")
    assert package == "rviz_default_plugins"
    message, properties = DISPLAYS[kind]
    assert display.keys() >= ANY and display.keys() - ANY <= properties
    assert display["Enabled"] is display["Value"]
    topic = display.get("Topic") or display.get("Description Topic")
    assert (topic is None) == (message is None)
    if topic is None:
        return
    assert topic.keys() - {"Filter size"} == TOPIC
    if kind == "RobotModel":
        assert topic["Value"] == DESCRIPTION and DESCRIPTION not in published()
        return
    sent, profile = published()[topic["Value"]]
    assert sent == message
    compatible, reason = qos_check_compatible(getattr(qos, profile), asked(topic))
    assert compatible != QoSCompatibility.ERROR, reason


def test_it_shows_what_an_operator_looks_at() -> None:
    root = yaml.safe_load(resource("config/rviz/operator.rviz").read_text())
    manager = root["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == ROBOT.base_frame
    assert {d["Class"].rpartition("/")[2] for d in SHOWN} == set(DISPLAYS)
    topics = {d["Topic"]["Value"] for d in SHOWN if "Topic" in d}
    images = {s.topic for s in CONTRACT.streams if s.kind == "image"}
    expected = {"view/planned", "view/executed", "safety/markers", *images}
    assert topics == {f"/{ROBOT.name}/{topic}" for topic in expected}


def test_every_kind_of_marker_can_be_switched() -> None:
    source = ast.parse((NODES / "safety_markers.py").read_text())
    spaces = {
        call.args[0].value
        for call in ast.walk(source)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "_marker"
        and isinstance(call.args[0], ast.Constant)
    }
    markers = next(d for d in SHOWN if d["Class"].endswith("/MarkerArray"))
    assert set(markers["Namespaces"]) == spaces and len(spaces) == 7
