"""A served policy in the graph: it acts, it is killed in mid-motion, it comes back."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.load import load_contract, named_file
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import from_message
from vla_rl_nodes.replay.check import check_parity
from vla_rl_nodes.robots.load import load_robot

from .running import CONTRACT, Graph, speeds, start
from .test_killed_in_motion import AT_REST, in_motion

pytestmark = pytest.mark.graph

SERVER = Path(__file__).resolve().parents[1] / "remote" / "server.py"
LOST = "cannot be reached"


class Served:
    """The test server as a process of its own, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), "--protocol", "openpi", "--port", str(self.port)],
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def serves(self) -> bool:
        return "serving at" in self._log.read_text()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"remote": "nowhere"}, "nowhere: is none of config/remote: franka_pick_served, "),
        ({"remote": "openvla_bridge", "chunking": "prefix"}, "takes no prefix"),
        ({"remote": "franka_pick_served", "chunking": "guidance"}, "a server does not give"),
    ],
)
def test_what_does_not_fit_is_told_at_the_start(parameters: dict[str, str], said: str) -> None:
    line = [sys.executable, "-m", "vla_rl_nodes.nodes.vla_http", "--ros-args"]
    for name, value in parameters.items():
        line += ["-p", f"{name}:={value}"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    server = Served(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def running(folder: Path, served: Served) -> Iterator[Graph]:
    policy = yaml.safe_load(named_file("remote", "franka_pick_served").read_text())
    policy["server"]["url"] = f"ws://127.0.0.1:{served.port}"
    file = folder / "served.yaml"
    file.write_text(yaml.safe_dump(policy))
    parameters = {"vla_http": {"remote": str(file)}}
    with start(folder, actor="vla_http", parameters=parameters) as graph:  # type: ignore[arg-type]
        graph.wait_for_line("vla_http", "answers; it is remote:franka_pick_served@", 30.0)
        yield graph


def test_it_acts_and_its_bag_is_like_any_other(running: Graph) -> None:
    for _ in range(3):  # a machine that stalls for a quarter of a second aborts an episode
        status = running.listen(DiagnosticArray, "policy/status", sensor=False)
        chunks = running.listen(JointTrajectory, "policy/chunk", sensor=False)
        result = running.driver.run_episode(seed=7)
        if result.outcome != "aborted":
            break
    assert result.outcome in ("success", "timeout"), result.reason
    complaints = Complaints(running.driver.node.get_logger())
    events = [from_message(m, "policy/status", complaints) for _, m in list(status)]
    version = running.wait_for_line("vla_http", "answers; it is").split(" is ")[-1].strip()
    assert {event.hardware_id for event in events if event is not None} == {version}
    taken = [e.values for e in events if e is not None and "chunk_id" in e.values]
    assert len(taken) > 30 and all(v["chunk_version"] == version for v in taken)
    # Every chunk that came in time continued what was committed, bit for bit.
    seams = [v["prefix_error"] for v in taken
             if "prefix_error" in v and int(v["delay"]) <= int(v["prefix_length"])]  # fmt: skip
    assert seams and set(seams) == {"0"}
    assert len(chunks) >= len({v["chunk_id"] for v in taken}) > 5
    action = load_contract(CONTRACT).action
    rows = np.array([[p.positions for p in m.points] for _, m in list(chunks)])
    assert rows.shape[1:] == (action.chunk_length, len(action.names))
    assert ((rows >= action.minimum - 1e-6) & (rows <= action.maximum + 1e-6)).all()
    assert result.bag is not None
    report = check_parity(result.bag, load_contract(CONTRACT))
    assert report.matched > 0 and report.differing == 0


def test_a_killed_server_lets_the_arm_hold_and_a_new_one_moves_it(
    running: Graph, served: Served
) -> None:
    joints = running.listen(JointState, load_robot("fr3").topics.joint_states)
    episode_id = in_motion(running, joints)
    before = running.log("vla_http").count(LOST)
    served.kill()
    died = running.now_ns()
    # Without commands the safety filter holds and then stops the arm, which ends the episode.
    result = running.driver.finish(episode_id, 11, 10.0)
    assert result.outcome == "aborted" and "stale_command" in result.reason

    def at_rest() -> bool:
        last = [speed for stamp, speed in speeds(joints)[-100:] if stamp > died]
        return len(last) == 100 and max(last) < AT_REST

    running.wait(at_rest, 10.0, "an arm at rest")
    line = running.wait_for_line("vla_http", LOST)
    assert f"vla_http: no chunk: ws://127.0.0.1:{served.port}: {LOST}" in line
    assert line.endswith("start the server there")
    assert running.log("vla_http").count(LOST) - before == 1  # though every tick failed

    answers = running.log("vla_http").count("answers; it is")
    served.start()
    running.wait(lambda: served.serves, 20.0, "the server")
    chunks = running.listen(JointTrajectory, "policy/chunk", sensor=False)
    again = in_motion(running, joints)
    assert chunks and running.log("vla_http").count("answers; it is") > answers
    running.driver.finish(again, 11, 20.0)
    assert "Traceback" not in running.log("vla_http")
    running.processes.check()
