"""The episode node alone: its services, parameters, resets, faults, help and what it tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.load import load_contract

from .fake_robot import RESET, FakeRobot
from .running import CONTRACT, alone

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def robot(folder: Path) -> Iterator[FakeRobot]:
    parameters: dict[str, float | str] = {
        "silence_s": 2.0,  # a machine that stalls must not end an episode
        "automatic_pause_s": 0.1, "reset_silence_s": 2.0, "help_limit_s": 1.0,
    }  # fmt: skip
    with alone(folder, NodeSpec("episode", parameters), "fr3") as graph:
        yield FakeRobot(graph)


def test_an_episode_tells_all_that_is_known_of_it(robot: FakeRobot) -> None:
    robot.wait_until_over()
    contract = load_contract(CONTRACT)
    told = {"operator": "Ada L.", "goal": "der rote Würfel", "seed": 7, "reset_mode": "start"}
    assert robot.set(**told) == ""
    robot.reset_says = None
    done, episode_id = robot.call("start")
    assert done
    assert robot.wait_for("resetting", episode_id=episode_id).values["reset_mode"] == "start"
    robot.graph.wait(lambda: robot.waiting, 10.0, "reset/request")
    robot.waiting.pop().set_result((True, RESET))
    robot.wait_for("running", episode_id=episode_id)
    # What is set now is for the next one.
    assert robot.set(operator="op3", goal="", seed=9) == ""
    robot.graph.wait(lambda: len(robot.ticks) > 2, 10.0, "ticks")
    assert robot.call("success")[0]
    values = robot.wait_for("success", episode_id=episode_id).values
    expected = {
        "seed": "7", "task": contract.task, "goal": "der rote Würfel", "robot": "fr3",
        "contract": CONTRACT, "contract_sha256": contract.sha256, "policy_version": "v7",
        "operator": "Ada L.", "reset_mode": "start", "reset_attempts": "2", "attempt": "1",
        "retry_cause": "", "retreating": "0", "paused": "0", "discarded": "0", "help": "",
        "automatic": "0", "automatic_off": "", "reason": "operator", "time_limit_s": "6",
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected
    label = robot.graph.wait(lambda: robot.labels, 10.0, "label")[-1]
    assert (label.message, label.values) == ("success", values)
    assert label.stamp_ns == robot.states[-1].stamp_ns


def test_texts_that_are_none_are_refused(robot: FakeRobot) -> None:
    robot.wait_until_over()
    assert "no printable character" in robot.set(operator="a\nb")
    assert "more than 200" in robot.set(goal="x" * 201)
    assert "no mode's name" in robot.set(reset_mode="Start now")
    episode_id = robot.running()
    assert robot.wait_for("running", episode_id=episode_id).values["operator"] == ""
    robot.call("abort")


def test_what_an_operator_may_not_do_is_said(robot: FakeRobot) -> None:
    robot.running()
    assert robot.call("start") == (False, "not while running")
    assert robot.call("resume") == (False, "not while running")
    assert robot.call("failure")[0]
    robot.wait_for("failure")
    for name in ("success", "failure", "abort", "discard"):
        assert robot.call(name) == (False, "not while failure: an outcome is final")


def test_discarding_ends_and_marks_the_episode(robot: FakeRobot) -> None:
    robot.running()
    assert robot.call("discard")[0]
    values = robot.wait_for("aborted", discarded="1").values
    assert values["reason"] == "discarded by the operator"
    robot.running()
    assert robot.values["discarded"] == "0"
    robot.call("abort")


def test_a_pause_holds_and_nothing_is_judged_in_it(robot: FakeRobot) -> None:
    episode_id = robot.running()
    assert robot.call("pause")[0]
    assert robot.wait_for("running", paused="1").values["episode_id"] == episode_id
    said = len(robot.states)
    ticks = len(robot.ticks)
    # Longer than the policy may be silent.
    end = robot.graph.now_ns() + 2_500_000_000
    robot.graph.wait(lambda: robot.graph.now_ns() > end, 20.0, "two seconds and a half")
    assert robot.state == "running" and len(robot.states) == said and len(robot.ticks) <= ticks + 1
    robot.reward(1.0)
    assert robot.call("resume")[0]
    robot.wait_for("running", paused="0")
    count = len(robot.ticks)
    robot.graph.wait(lambda: len(robot.ticks) > count + 5, 10.0, "the policy goes on")
    assert robot.state == "running", "what was rewarded in the pause does not count"
    robot.reward(1.0)
    assert robot.wait_for("success").values["reason"] == "judge"


def test_a_reset_that_fails_or_cannot_be_understood_is_the_end(robot: FakeRobot) -> None:
    for says, reason in (
        ((False, "the cube\nfell"), "reset failed: the cube fell"),
        ((True, "seed 7"), "answered 'seed 7'; answer mode=<name>"),
    ):
        robot.wait_until_over()
        robot.reset_says = says
        assert robot.call("start")[0]
        assert reason in robot.wait_for("aborted").values["reason"]


def test_a_silent_reset_is_cancelled_and_a_living_one_is_waited_for(robot: FakeRobot) -> None:
    robot.wait_until_over()
    robot.reset_says = None
    _, episode_id = robot.call("start")
    robot.graph.wait(lambda: robot.asked == ["request"], 10.0, "request")
    beats = []

    def beat() -> None:
        beats.append(robot.reset_status("asking", episode_id))
        robot.reset_status("moving", "another episode's")

    timer = robot.graph.driver.node.create_timer(0.2, beat)
    robot.graph.wait(lambda: len(beats) > 15, 20.0, "longer than it may be silent")
    assert robot.state == "resetting"
    timer.cancel()
    robot.graph.driver.node.destroy_timer(timer)
    assert "the reset was silent" in robot.wait_for("aborted").values["reason"]
    robot.graph.wait(lambda: robot.asked == ["request", "cancel"], 10.0, "cancel")
    # The one that goes on is not mistaken for the answer of the next.
    robot.reset_says = (True, RESET)
    _, second = robot.call("start")
    robot.waiting.pop().set_result((False, "late"))
    robot.wait_for("running", episode_id=second)
    robot.call("abort")


def test_what_an_episode_needs_ends_it_when_it_fails(robot: FakeRobot) -> None:
    for state, reasons, said in (
        ("faulted", "tracking_error", "safety filter faulted: tracking_error"),
        ("disarmed", "", "safety filter disarmed: told to"),
        ("stopped", "e_stop", "safety filter stopped: e_stop"),
    ):
        robot.running()
        robot.filter_reasons, robot.filter_says = reasons, state
        assert robot.wait_for("aborted").values["reason"] == said
    episode_id = robot.running()
    robot.record("recording", "another")
    assert robot.wait_for("aborted", episode_id=episode_id).values["reason"] == (
        "the recorder stopped"
    )
    robot.running()
    robot.policy_lives = False
    assert "the policy was silent for" in robot.wait_for("aborted").values["reason"]
    robot.running()
    robot.filter_says = None
    assert "the safety filter was silent" in robot.wait_for("aborted").values["reason"]


def test_rewards_from_elsewhere_do_not_count(robot: FakeRobot) -> None:
    episode_id = robot.running()
    now = robot.graph.now_ns()
    for success, stamp in ((1.0, now - 60_000_000_000), (1.0, now + 60_000_000_000), (7.0, now),
                           (float("nan"), now), (0.9, now)):  # fmt: skip
        robot.reward(success, stamp)
    count = len(robot.ticks)
    robot.graph.wait(lambda: len(robot.ticks) > count + 5, 10.0, "ticks")
    assert robot.wait_for("running", episode_id=episode_id).values["reason"] == ""
    robot.graph.wait_for_line("episode", "reward: success is 7")
    robot.call("abort")


def test_the_next_episode_begins_by_itself_and_counts_its_seed_up(robot: FakeRobot) -> None:
    robot.wait_until_over()
    assert robot.set(automatic=True, seed=40) == ""
    off = robot.wait_for(robot.state, automatic="1").values["automatic_off"]
    assert off == "the operator starts the first episode"
    assert robot.call("start")[0]
    for seed in (40, 41, 42):
        assert robot.wait_for("running", seed=str(seed)).values["automatic_off"] == ""
        robot.reward(1.0)
        robot.wait_for("running", seed=str(seed + 1))
    assert robot.call("pause")[0] and robot.call("success")[0]
    robot.wait_for("success", automatic_off="paused by the operator")
    count, asked = len(robot.states), len(robot.asked)
    end = robot.graph.now_ns() + 1_000_000_000
    robot.graph.wait(lambda: robot.graph.now_ns() > end, 10.0, "a second")
    assert len(robot.states) == count and len(robot.asked) == asked
    assert robot.call("resume")[0]
    robot.wait_for("running", seed="44")
    assert robot.call("abort")[0]
    assert robot.wait_for("aborted", seed="44").values["automatic_off"] == "operator"
    assert robot.call("start")[0]
    robot.wait_for("running", seed="44")
    robot.filter_says, robot.filter_reasons = "stopped", "e_stop"
    robot.wait_for("aborted", seed="44", automatic_off="safety filter stopped: e_stop")
    assert len(robot.labels) >= 5


def test_an_emergency_stop_between_episodes_is_the_end_of_it(robot: FakeRobot) -> None:
    robot.wait_until_over()
    assert robot.set(automatic=True, automatic_pause_s=1.0) == ""
    robot.call("start")
    robot.wait_for("running")
    robot.reward(1.0)
    robot.wait_for("success")
    robot.filter_says, robot.filter_reasons = "disarmed", "e_stop"
    robot.wait_for("success", automatic_off="safety filter disarmed: e_stop")
    end = robot.graph.now_ns() + 1_500_000_000
    robot.graph.wait(lambda: robot.graph.now_ns() > end, 10.0, "longer than the pause")
    assert robot.state == "success"
    assert robot.set(automatic_pause_s=0.1) == ""


def test_an_emergency_stop_before_the_episode_runs_ends_it(robot: FakeRobot) -> None:
    robot.wait_until_over()
    robot.reset_says = None  # a reset that takes long
    _, episode_id = robot.call("start")
    robot.wait_for("resetting", episode_id=episode_id)
    robot.filter_says, robot.filter_reasons = "disarmed", "e_stop"
    reason = robot.wait_for("aborted", episode_id=episode_id).values["reason"]
    assert reason == "the emergency stop is latched"
    robot.graph.wait(lambda: "cancel" in robot.asked, 10.0, "the reset to be cancelled")


def test_help_that_comes_and_help_that_does_not(robot: FakeRobot) -> None:
    episode_id = robot.running()
    common = {"episode_id": episode_id, "attempt": "1"}
    robot.send("retry/request", "retry_monitor", "help", cause="lost the cube", **common)
    robot.wait_for("running", paused="1", help="lost the cube")
    robot.send("intervention/status", "intervention", "matching", episode_id=episode_id)
    robot.send("intervention/status", "intervention", "active", episode_id="another")
    his = {"episode_id": episode_id, "in_command": "1"}
    robot.send("intervention/status", "intervention", "active", **his)
    robot.wait_for("running", paused="0", help="")
    # A device that was lost still holds the robot for him.
    robot.send("intervention/status", "intervention", "lost", **his)
    # A person is in command: nothing is asked for meanwhile.
    robot.send("retry/request", "retry_monitor", "help", cause="again", **common)
    robot.graph.wait_for_line("episode", "retry/request: is not of this attempt, or a person")
    robot.send(
        "intervention/status", "intervention", "idle", episode_id=episode_id, in_command="0"
    )

    def asked_again() -> bool:
        robot.send("retry/request", "retry_monitor", "help", cause="a\nsecond", **common)
        return robot.values["help"] == "a second"

    robot.graph.wait(asked_again, 10.0, "the second help")
    reason = robot.wait_for("aborted", episode_id=episode_id).values["reason"]
    assert reason == "nobody came to help within 1 s: a second"


def test_requests_that_are_none_change_nothing(robot: FakeRobot) -> None:
    episode_id = robot.running()
    for message, values in (
        ("retry", {"episode_id": "another", "attempt": "1"}),
        ("retry", {"episode_id": episode_id, "attempt": "2"}),
        ("retry", {"attempt": "1"}),
        ("pray", {"episode_id": episode_id, "attempt": "1"}),
    ):
        robot.send("retry/request", "retry_monitor", message, cause="x", **values)
    robot.graph.wait_for_line("episode", "'pray' is none of retry, help and abort")
    assert (robot.state, robot.values["attempt"], robot.asked) == ("running", "1", ["request"])
    robot.call("abort")


def test_a_retreat_is_the_next_attempt(robot: FakeRobot) -> None:
    episode_id = robot.running()
    robot.retreat_says = None
    robot.send(
        "retry/request", "retry_monitor", "retry", cause="21 steps behind", episode_id=episode_id,
        attempt="1",
    )  # fmt: skip
    robot.wait_for("running", retreating="1", attempt="1", retry_cause="21 steps behind")
    robot.graph.wait(lambda: robot.waiting, 10.0, "reset/retreat")
    robot.reward(1.0)
    assert robot.call("success") == (False, "not while running and retreating")
    robot.waiting.pop().set_result((True, "retreated"))
    robot.wait_for("running", retreating="0", attempt="2")
    # The second one fails: that is for a person.
    robot.retreat_says = (False, "no way out")
    robot.send(
        "retry/request", "retry_monitor", "retry", cause="again", episode_id=episode_id,
        attempt="2",
    )  # fmt: skip
    robot.wait_for("running", help="retreat failed: no way out", paused="1", attempt="2")
    assert robot.call("resume")[0]
    robot.wait_for("running", help="", paused="0", attempt="2")
    assert robot.call("success")[0]
    assert robot.wait_for("success").values["retry_cause"] == "again"
    assert robot.asked == ["request", "retreat", "retreat"]


def test_a_retreat_ends_with_its_episode(robot: FakeRobot) -> None:
    episode_id = robot.running()
    robot.retreat_says = None
    robot.send(
        "retry/request", "retry_monitor", "retry", cause="lag", episode_id=episode_id, attempt="1"
    )
    robot.graph.wait(lambda: robot.waiting, 10.0, "reset/retreat")
    assert robot.call("abort")[0]
    robot.graph.wait(lambda: robot.asked == ["request", "retreat", "cancel"], 10.0, "cancel")
    robot.wait_for("aborted", retreating="0")


def test_foreign_events_are_one_line(robot: FakeRobot) -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    for topic in ("retry/request", "intervention/status"):
        robot.graph.publish(topic, DiagnosticArray())
        robot.graph.wait_for_line("episode", f"{topic}: holds 0 statuses, not one")
