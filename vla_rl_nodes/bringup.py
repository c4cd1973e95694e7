"""The graph written once: which nodes run with which parameters, and how they are started.

The launch files hand the same list to ``launch_ros`` that ``vla-rl up`` and ``vla-rl demo`` start
as plain processes, so that a machine without ``ros2 launch`` runs the same graph.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.contract.load import load_contract, load_yaml, named_file
from vla_rl_nodes.episodes.reward.spec import Rewards
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.robot_settings import load_robot_settings

Value = bool | int | float | str
Actor = Literal["policy", "vla_http", "sim_expert"]
ACTORS: tuple[Actor, ...] = get_args(Actor)
PAGE = "page"  # the device that the operator's page is, of config/intervention


@dataclass(frozen=True)
class NodeSpec:
    """One node: its executable, which is also its name, and its parameters."""

    executable: str
    parameters: Mapping[str, Value] = field(default_factory=dict)


def graph(
    contract: str,
    *,
    sim: bool,
    actor: Actor = "policy",
    link: str = "",
    intervention: str = "",
    operator: bool = False,
    retries: str = "",
    view: bool = False,
    parameters: Mapping[str, Mapping[str, Value]] | None = None,
) -> list[NodeSpec]:
    """The nodes of one robot.

    Args:
        contract: contract name or path; it names the robot.
        sim: whether the simulated robot and its cameras run too.
        actor: what acts: a policy bundle, a policy served elsewhere, or the scripted expert of
            the simulation.
        link: settings of the link to the learner, a path; empty: there is none. The recorder gets
            the robot's name from them.
        intervention: devices of config/intervention by which a person takes over, separated by
            commas; empty: none.
        operator: whether the operator's page is served; it brings its own device along.
        retries: settings of config/retries for a policy that gets stuck; empty: nobody watches.
        view: whether planned and executed paths are published for rviz.
        parameters: further parameters by executable.

    Raises:
        InputError: parameters for a node that is not in the graph, bad settings of the link, or
            retries with a reward that tells no progress.
    """
    names = [
        "camera_ingest", "proprio_ingest", "safety_filter", "episode", "reset", "reward",
        "recorder", actor,
    ]  # fmt: skip
    if sim:
        names = ["sim_robot", "sim_cameras", *names]
    further = {name: dict(values) for name, values in (parameters or {}).items()}
    devices = [device.strip() for device in intervention.split(",") if device.strip()]
    if operator and PAGE not in devices:
        devices.append(PAGE)
    for wanted, name, own in (
        (bool(devices), "intervention", {"devices": ",".join(devices)}),
        (operator, "operator_page", {}),
        (bool(retries), "retry_monitor", {"retries": retries}),
        (view, "motion_paths", {}),
    ):
        if wanted:
            names.append(name)
            further[name] = {**own, **further.get(name, {})}
    if retries:
        _refuse_blind(contract, str(further.get("reward", {}).get("rewards", "")))
    # Without a simulator the arm goes to its start by itself, and plans by the filter's limits.
    further["reset"] = {
        "mode": "simulation" if sim else "start",
        "limits": further.get("safety_filter", {}).get("safety", ""),
        **further.get("reset", {}),
    }
    if link:
        names.append("replay_bridge")
        recorder = further.get("recorder", {})
        named = load_robot_settings(Path(link).expanduser()).robot
        further["recorder"] = {"robot_name": named, **recorder}
        folder = recorder.get("folder", "")
        further["replay_bridge"] = {"settings": link, "folder": folder}
    unknown = next((name for name in further if name not in names), None)
    if unknown is not None:
        raise InputError(unknown, "is no node of this graph", f"give one of {', '.join(names)}")
    return [NodeSpec(name, {"contract": contract, **further.get(name, {})}) for name in names]


def _refuse_blind(contract: str, rewards: str) -> None:
    """A retry monitor that hears of no progress would never do anything, and nobody would know."""
    named = load_yaml(named_file("rewards", rewards or load_contract(contract).name), Rewards)
    if named.roles.progress is None:
        raise InputError(
            f"retries with the reward {named.name}", "would watch nothing: it tells no progress",
            "name a reward whose roles have a progress, such as steps_to_go",
        )  # fmt: skip


def hold_pose(robot: str) -> list[NodeSpec]:
    """The simulated robot alone, holding its pose."""
    return [NodeSpec("sim_robot", {"robot": robot})]


def command_line(spec: NodeSpec, namespace: str) -> list[str]:
    """How a node is started as a process of its own."""
    line = [
        sys.executable, "-m", f"vla_rl_nodes.nodes.{spec.executable}",
        "--ros-args", "-r", f"__ns:=/{namespace}",
    ]  # fmt: skip
    for name, value in spec.parameters.items():
        # JSON is YAML: a text that looks like a number stays a text.
        line += ["-p", f"{name}:={json.dumps(value)}"]
    return line


class Processes(Closable):
    """Starts nodes, each as a process with a log file, and stops those that it started.

    Use it as a context manager: leaving it stops everything, whatever happened inside.

    Args:
        log_folder: gets ``<executable>.log`` of each node.
        patience_s: how long an interrupted node may take to end.
    """

    def __init__(self, log_folder: Path, patience_s: float = 5.0) -> None:
        self._log_folder = log_folder
        self._patience_s = patience_s
        self._environment = dict(os.environ)
        # Simulated time-critical threads must not compete with hidden worker threads.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            self._environment.setdefault(variable, "1")
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, specs: Sequence[NodeSpec], namespace: str) -> None:
        """Starts the nodes in their order."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        for spec in specs:
            with (self._log_folder / f"{spec.executable}.log").open("ab") as log:
                self._running[spec.executable] = subprocess.Popen(
                    command_line(spec, namespace),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,
                )

    def pid(self, executable: str) -> int:
        """Process id of a started node."""
        return self._running[executable].pid

    def kill(self, executable: str) -> None:
        """Ends one node without giving it a chance to say goodbye, as a crash would."""
        self._running[executable].kill()
        self._running[executable].wait()

    def check(self) -> None:
        """Refuses to go on when a node has ended.

        Raises:
            InputError: naming the node, the last line of its log, and the log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._log_folder / f"{name}.log"
                raise InputError(
                    f"node {name}",
                    f"ended with status {process.returncode} ({self.last_line(name)})",
                    f"read {log}",
                )

    def last_line(self, executable: str) -> str:
        """The last line that a node wrote."""
        log = self._log_folder / f"{executable}.log"
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")

    def close(self) -> None:
        """Interrupts every node, waits, and kills what is still there."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + self._patience_s
        for process in self._running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def run_until_interrupted(nodes: Sequence[NodeSpec], contract: str, logs: Path) -> int:
    """Runs a robot's graph until Ctrl-C, or until a node ends.

    Args:
        nodes: what to run.
        contract: contract name or path; its robot's name is the namespace.
        logs: folder of the nodes' logs.

    Returns:
        0 after Ctrl-C.

    Raises:
        InputError: a node ended by itself; its log is named.
    """
    namespace = load_contract(contract).robot
    with Processes(logs) as processes:
        processes.start(nodes, namespace)
        names = ", ".join(node.executable for node in nodes)
        print(f"running in /{namespace}: {names}; logs in {logs}; Ctrl-C stops", flush=True)
        try:
            while True:
                processes.check()
                time.sleep(0.2)
        except KeyboardInterrupt:
            return 0
