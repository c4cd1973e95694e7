"""A policy that does not get on: the retry monitor notices it, the reset retreats, and the bag
would tell why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.episodes.retry_settings import StepsToGo, load_retries
from vla_rl_nodes.nodes.vector import vector_message

from .fake_robot import FakeRobot
from .running import some

pytestmark = pytest.mark.graph

SETTINGS = """
retries: 1
watch: {signal: steps_to_go, window_steps: 20, lag_steps: 6.0, clear_steps: 3.0}
confirm_steps: 3
quiet_steps: 4
confidence_min: 0.3
on_stall: [retry, help, abort]
"""


class Value:
    """A reward node whose value of the state is what a test wants, once for each tick."""

    def __init__(self, robot: FakeRobot) -> None:
        self.robot, self.per_tick, self.left = robot, 1.0, 80.0
        self.confidence = 1.0
        self.answered = 0
        self.requests = robot.graph.listen(DiagnosticArray, "retry/request", sensor=False)
        self.status = robot.graph.listen(DiagnosticArray, "retry/status", sensor=False)
        robot.graph.driver.node.create_timer(0.02, self._look)

    def _look(self) -> None:
        while self.answered < len(self.robot.ticks):
            stamp = self.robot.ticks[self.answered]
            self.answered += 1
            self.left = max(0.0, self.left - self.per_tick)
            names, values = ["steps_to_go", "confidence"], [self.left, self.confidence]
            self.robot.graph.publish("progress", vector_message(stamp, names, values, "test"))

    def asked(self) -> list[tuple[str, dict[str, str]]]:
        """What was asked for: message and values."""
        statuses = [message.status[0] for _, message in list(self.requests)]
        return [(s.message, {v.key: v.value for v in s.values}) for s in statuses]

    def ticks(self, count: int) -> None:
        """Waits for so many more ticks."""
        at = len(self.robot.ticks) + count
        self.robot.graph.wait(lambda: len(self.robot.ticks) >= at, 20.0, f"{count} ticks")


@pytest.fixture(scope="module")
def value(folder: Path) -> Iterator[Value]:
    path = folder / "fast.yaml"
    path.write_text(SETTINGS)
    settings = load_retries(path)
    assert isinstance(settings.watch, StepsToGo)
    patient: dict[str, float | str] = {"silence_s": 5.0, "reset_silence_s": 5.0}
    specs = [NodeSpec("episode", patient), NodeSpec("retry_monitor", {"retries": str(path)})]
    with some(folder, specs, "fr3") as graph:
        found = Value(FakeRobot(graph))
        # Both listen before an episode's first tick.
        graph.publish("progress", vector_message(graph.now_ns(), ["steps_to_go"], [80.0]))
        graph.wait(lambda: found.status, 20.0, "retry/status")
        yield found


def test_a_stall_is_retried_then_helped_then_given_up(value: Value) -> None:
    robot = value.robot
    value.left, value.per_tick, value.answered = 80.0, 1.0, len(robot.ticks)
    episode_id = robot.running()
    value.ticks(20)
    assert value.asked() == [] and robot.values["attempt"] == "1", "it gets on"

    value.per_tick = 0.0
    after = robot.wait_for("running", attempt="2", retreating="0", episode_id=episode_id)
    assert robot.asked == ["request", "retreat"]
    assert "steps behind" in after.values["retry_cause"]
    message, values = value.asked()[0]
    assert message == "retry" and values["episode_id"] == episode_id and values["attempt"] == "1"
    assert values["cause"] == after.values["retry_cause"]

    # The second attempt stalls, too: a person is asked for, and the robot waits for him.
    helped = robot.wait_for("running", attempt="2", paused="1")
    assert "steps behind" in helped.values["help"]
    robot.send("intervention/status", "intervention", "active", episode_id=episode_id,
               in_command="1")  # fmt: skip
    robot.wait_for("running", paused="0", help="")
    value.ticks(20)
    assert len(value.asked()) == 2, "a person is in command: nothing is asked for"
    robot.send("intervention/status", "intervention", "idle", episode_id=episode_id)

    reason = robot.wait_for("aborted", episode_id=episode_id, attempt="2").values["reason"]
    assert reason.startswith("given up: ") and "steps behind" in reason
    assert [message for message, _ in value.asked()] == ["retry", "help", "abort"]


def test_what_gets_on_or_says_nothing_usable_is_left_alone(value: Value) -> None:
    robot = value.robot
    for per_tick, confidence in ((1.0, 1.0), (0.0, 0.1)):
        value.left, value.per_tick, value.confidence = 80.0, per_tick, confidence
        value.answered, before = len(robot.ticks), len(value.asked())
        episode_id = robot.running()
        value.ticks(35)
        assert len(value.asked()) == before
        robot.wait_for("running", episode_id=episode_id, attempt="1")
        robot.call("abort")
    value.confidence = 1.0


def test_what_is_no_progress_is_one_line(value: Value) -> None:
    robot = value.robot
    robot.running()
    now = robot.graph.now_ns()
    for names, values, line in (
        (["steps_to_go"], [-3.0], "progress: steps_to_go is -3; publish 0 to 1e+06"),
        (["steps_to_go"], [float("nan")], "progress: 'steps_to_go' is not finite"),
        (["weather"], [1.0], "progress: 'weather' is unknown"),
        (["progress"], [0.5], "progress: has no 'steps_to_go', which the settings watch"),
    ):
        robot.graph.publish("progress", vector_message(now, names, values))
        robot.graph.wait_for_line("retry_monitor", line)
    robot.graph.publish("intervention/status", DiagnosticArray())
    robot.graph.wait_for_line("retry_monitor", "intervention/status: holds 0 statuses")
    assert "Traceback" not in robot.graph.log("retry_monitor")
    robot.call("abort")
