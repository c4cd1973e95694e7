"""`vla-rl doctor`: what a machine has of all that a robot needs, and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot

Status = Literal["there", "absent", "missing"]
DISCOVERY_S = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing looked for. ``absent`` is fine, ``missing`` keeps a robot from running."""

    part: str
    what: str
    status: Status
    detail: str

    def as_dict(self) -> dict[str, str]:
        """For ``--json``."""
        return asdict(self)


def examine(contract_name: str, namespace: str | None) -> list[Finding]:
    """Looks at this machine and at the ROS graph that it can see.

    Args:
        contract_name: contract whose robot, cameras and policy are looked for.
        namespace: the robot's namespace; None for the robot's name.
    """
    contract = load_contract(contract_name)
    findings = [*_machine(), *_ros(), *_engines(), *_learner(), _policy(contract)]
    if importlib.util.find_spec("rclpy") is not None:
        findings += _graph(contract, namespace or contract.robot)
    return findings


def render(findings: list[Finding]) -> None:
    """Prints the findings as a table."""
    table = Table("part", "what", "", "detail")
    colours = {"there": "green", "absent": "yellow", "missing": "red"}
    for finding in findings:
        mark = f"[{colours[finding.status]}]{finding.status}[/]"
        table.add_row(finding.part, escape(finding.what), mark, escape(finding.detail))
    Console(file=sys.stdout).print(table)
    missing = sum(finding.status == "missing" for finding in findings)
    print("nothing is missing" if not missing else f"{missing} missing")


def _package(
    part: str, name: str, absent: Status, remedy: str, distribution: str | None = None
) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(part, name, absent, remedy)
    try:
        version = importlib.metadata.version(distribution or name)
    except importlib.metadata.PackageNotFoundError:
        version = "found"
    return Finding(part, name, "there", version)


def _machine() -> list[Finding]:
    version = platform.python_version()
    cores = os.cpu_count() or 1
    return [
        Finding("machine", "python", "there", f"{version}, {platform.machine()}"),
        Finding("machine", "cores", "there", f"{cores}; the simulated graph wants 2"),
        _realtime(),
    ]


def _realtime() -> Finding:
    import resource as limits

    soft, _ = limits.getrlimit(limits.RLIMIT_RTPRIO)
    if soft > 0 or os.geteuid() == 0:
        return Finding("machine", "real-time priority", "there", "the filter may take it")
    remedy = "give your user an rtprio limit; without it a busy machine can delay the filter"
    return Finding("machine", "real-time priority", "absent", remedy)


def _ros() -> list[Finding]:
    remedy = "source your ROS 2 set-up, or install the [ros] extra"
    found = [_package("ros", "rclpy", "missing", remedy)]
    for package in ("sensor_msgs", "trajectory_msgs", "diagnostic_msgs", "std_srvs"):
        found.append(_package("ros", package, "missing", remedy))
    distribution = os.environ.get("ROS_DISTRO")
    detail = distribution or "not set: the ROS wheels are used, or ROS is not sourced"
    found.append(Finding("ros", "ROS_DISTRO", "there" if distribution else "absent", detail))
    for package, use in (
        ("launch_ros", "ros2 launch; vla-rl up starts the same nodes without it"),
        ("moveit", "planned resets"),
        ("rosbag2_py", "ros2 bag; the recorder does without it"),
    ):
        found.append(_package("ros", package, "absent", f"only for {use}"))
    return found


def _engines() -> list[Finding]:
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    gpu = shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()
    return [
        Finding("policy", "onnxruntime", "there", f"{onnxruntime.__version__}: {providers}"),
        Finding("policy", "NVIDIA GPU", "there" if gpu else "absent",
                "seen" if gpu else "inference runs on the CPU"),
        _package("policy", "tensorrt", "absent", "only for TensorRT engines on a GPU"),
    ]  # fmt: skip


def _learner() -> list[Finding]:
    return [
        _package("learner", "torch", "absent", "only to train; install the [learner] extra"),
        _package("simulation", "mujoco", "absent", "only to simulate; install the [sim] extra"),
    ]


def _policy(contract: Contract) -> Finding:
    what = f"policy for {contract.name}"
    try:
        bundle = load_bundle(
            resource(f"config/policies/{contract.name}"), contract, trusted_keys()
        )
        OnnxEngine(bundle)
    except InputError as error:
        return Finding("policy", what, "missing", str(error))
    return Finding("policy", what, "there", f"version {bundle.version}, signature and hashes good")


def _graph(contract: Contract, namespace: str) -> list[Finding]:
    from vla_rl_nodes.nodes.endpoints import count_endpoints

    prefix = f"/{namespace.strip('/')}/"
    topics = load_robot(contract.robot).topics
    commands = [t for t in (topics.trajectory_command, topics.position_command) if t is not None]
    states = (topics.joint_states, topics.gripper_joint_states, topics.wrench, topics.imu)
    drivers = [("robot", name) for name in states if name is not None]
    cameras = [stream.source.topic for stream in contract.streams if stream.source is not None]
    drivers += [("camera", name) for name in cameras]
    names = [prefix + name for name in (*commands, *(name for _, name in drivers))]
    seen = count_endpoints(names, prefix + topics.joint_states, DISCOVERY_S)
    found = []
    for name in commands:
        listens = seen.subscribers[prefix + name] > 0
        detail = "a controller listens" if listens else "no controller listens; activate one"
        found.append(Finding("robot", prefix + name, _seen(listens), detail))
    for part, name in drivers:
        count = seen.publishers[prefix + name]
        said = {0: "no driver publishes", 1: "a driver publishes"}
        detail = said.get(count, f"{count} publishers; one is right")
        found.append(Finding(part, prefix + name, _seen(count == 1), detail))
    return found


def _seen(value: bool) -> Status:
    return "there" if value else "absent"
