"""The graph is written once, and the processes that were started are the ones that end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from vla_rl_nodes import bringup
from vla_rl_nodes.bringup import NodeSpec, Processes, command_line, graph
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource


def test_simulation_adds_the_robot_and_the_expert_replaces_the_policy() -> None:
    real = [node.executable for node in graph("franka_pick", sim=False)]
    simulated = [node.executable for node in graph("franka_pick", sim=True, actor="sim_expert")]
    assert "sim_robot" not in real and "policy" in real
    assert {"sim_robot", "sim_cameras", "sim_expert"} <= set(simulated)
    assert "policy" not in simulated
    assert real.count("safety_filter") == simulated.count("safety_filter") == 1


def test_the_link_watches_the_recorders_folder_and_names_the_robot(tmp_path: Path) -> None:
    text = resource("config/link/robot.yaml").read_text()
    link = tmp_path / "robot.yaml"
    link.write_text(text.replace("robot: fr3 ", "robot: left "))
    recorder = {"folder": "/bags"}
    parameters = {"recorder": recorder}
    nodes = graph("franka_pick", sim=False, link=str(link), parameters=parameters)
    by_name = {node.executable: node.parameters for node in nodes}
    bridge, named = by_name["replay_bridge"], by_name["recorder"]
    assert (bridge["settings"], bridge["folder"]) == (str(link), "/bags")
    assert (named["robot_name"], named["folder"]) == ("left", "/bags")
    with pytest.raises(InputError, match=r"no\.yaml: "):
        graph("franka_pick", sim=False, link=str(tmp_path / "no.yaml"))
    without = [node.executable for node in graph("franka_pick", sim=False)]
    assert "replay_bridge" not in without


def test_people_are_let_in_where_they_are_asked_for() -> None:
    plain = [node.executable for node in graph("franka_pick", sim=True)]
    assert {"reset", "reward"} <= set(plain)
    assert not {"intervention", "operator_page", "retry_monitor", "motion_paths"} & set(plain)
    asked = graph(
        "franka_pick", sim=False, intervention="spacemouse, gamepad", operator=True,
        retries="franka_pick", view=True,
        parameters={"intervention": {"mine": 1}, "reward": {"rewards": "steps_to_go"}},
    )  # fmt: skip
    by_name = {node.executable: node.parameters for node in asked}
    assert by_name["intervention"]["devices"] == "spacemouse,gamepad,page"
    assert by_name["intervention"]["mine"] == 1
    assert by_name["retry_monitor"]["retries"] == "franka_pick"
    assert {"operator_page", "motion_paths"} <= set(by_name)


def test_retries_that_would_hear_of_no_progress_are_refused() -> None:
    with pytest.raises(InputError, match="reward franka_pick: would watch nothing"):
        graph("franka_pick", sim=True, retries="franka_pick")


def test_without_a_simulator_the_arm_goes_to_its_start_by_itself() -> None:
    modes = {
        sim: next(n for n in graph("franka_pick", sim=sim) if n.executable == "reset")
        for sim in (True, False)
    }
    assert modes[True].parameters["mode"] == "simulation"
    assert modes[False].parameters["mode"] == "start"
    narrow = graph("franka_pick", sim=True, parameters={"safety_filter": {"safety": "narrow"}})
    assert next(n for n in narrow if n.executable == "reset").parameters["limits"] == "narrow"
    chosen = graph("franka_pick", sim=True, parameters={"reset": {"mode": "person"}})
    assert next(n for n in chosen if n.executable == "reset").parameters["mode"] == "person"


def test_parameters_for_no_node_are_refused() -> None:
    with pytest.raises(InputError, match="is no node of this graph"):
        graph("franka_pick", sim=False, parameters={"sim_robot": {"seed": 1}})


@pytest.mark.parametrize("value", ["123", "true", "a: b", "x'y\"z", "", 7, 0.5, False])
def test_a_parameter_reaches_the_node_with_its_type(value: bool | int | float | str) -> None:
    line = command_line(NodeSpec("policy", {"p": value}), "fr3")
    text = line[line.index("-p") + 1]
    assert text.startswith("p:=")
    read = yaml.safe_load(text.removeprefix("p:="))
    assert read == value and type(read) is type(value)


def _script(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(bringup, "command_line", lambda spec, space: [sys.executable, "-c", code])


def test_a_node_that_ends_is_named_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(monkeypatch, "print('no camera'); raise SystemExit(3)")
    with Processes(tmp_path) as processes:
        processes.start([NodeSpec("camera")], "fr3")
        processes._running["camera"].wait(20)
        with pytest.raises(InputError, match=r"node camera: ended with status 3 \(no camera\)"):
            processes.check()


def test_leaving_stops_even_a_node_that_ignores_the_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(
        monkeypatch,
        "import signal,time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)",
    )
    processes = Processes(tmp_path, patience_s=0.2)
    processes.start([NodeSpec("stubborn")], "fr3")
    started = processes._running["stubborn"]
    while processes.last_line("stubborn") != "up":
        assert started.poll() is None
    processes.close()
    assert started.poll() is not None
