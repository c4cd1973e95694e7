"""The page's picture of the robot: bounded, finite, and loud about what is wrong."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_robot import AXES, FakeRobot

from vla_rl_nodes.operator.board import EVENTS, VECTORS, Board
from vla_rl_nodes.operator.said import Said

LARGEST = 60_000  # bytes of one state


def snapshot(robot: FakeRobot, later_s: float = 0.0, unheard: bool = False) -> dict[str, Any]:
    return robot.board.snapshot(time.monotonic() + later_s, robot.clock_ns(), unheard)


def texts(shown: dict[str, Any]) -> str:
    return " | ".join(alarm["text"] for alarm in shown["alarms"])


def healthy() -> FakeRobot:
    robot = FakeRobot()
    robot.say("episode/state", "idle", episode_id="e")
    robot.say("safety/status", "disarmed", status="16", status_text="disarmed", source="")
    return robot


def test_before_anything_is_heard() -> None:
    shown = snapshot(FakeRobot())
    assert "safety filter" in texts(shown) and "episode node" in texts(shown)
    assert shown["safety"]["silent"] and shown["episode"]["state"] == ""


def test_a_healthy_robot_has_no_alarms() -> None:
    assert snapshot(healthy())["alarms"] == []


def test_silence_is_an_alarm() -> None:
    shown = snapshot(healthy(), later_s=2.0)
    assert "Nothing is heard of the safety filter" in texts(shown)
    assert shown["safety"]["source"] == ""


@pytest.mark.parametrize(
    ("topic", "message", "values", "level", "expected"),
    [
        ("safety/status", "armed", {"status": "21"}, "error", "Emergency stop is latched"),
        ("safety/status", "faulted", {"reasons": "collision"}, "error", "too close to something"),
        ("safety/status", "stopping", {"reasons": "wrench"}, "warn", "the force at the tool"),
        (
            "episode/state",
            "running",
            {"help": "it is stuck"},
            "warn",
            "asks for help: it is stuck",
        ),
        ("episode/state", "running", {}, "error", "nothing is heard of the policy"),
        ("reset/status", "asking", {"reason": "the cube fell"}, "warn", "asks you: the cube fell"),
        ("reset/status", "failed", {"reason": "no way"}, "warn", "reset failed: no way"),
        ("recorder/status", "failed", {"reason": "disk full"}, "error", "disk full"),
        ("intervention/status", "lost", {"reason": "unplugged"}, "warn", "lost: unplugged"),
        ("replay_bridge/status", "full", {}, "error", "queue to the learner is full"),
        ("replay_bridge/status", "down", {"last_error": "no route"}, "warn", "down: no route"),
        ("policy/bundle", "rolled back", {"version": "v", "reason": "late"}, "warn", "late"),
    ],
)
def test_alarms(
    topic: str, message: str, values: dict[str, str], level: str, expected: str
) -> None:
    robot = healthy()
    robot.say(topic, message, **values)
    found = [a for a in snapshot(robot)["alarms"] if expected in a["text"]]
    assert [alarm["level"] for alarm in found] == [level]


def test_errors_come_before_warnings() -> None:
    robot = healthy()
    robot.say("reset/status", "asking", reason="x")
    robot.say("recorder/status", "failed", reason="y")
    assert [a["level"] for a in snapshot(robot)["alarms"]] == ["error", "warn"]


def test_an_emergency_stop_without_effect_is_the_first_alarm() -> None:
    robot = healthy()
    assert "does not confirm" in snapshot(robot, unheard=True)["alarms"][0]["text"]
    robot.say("safety/status", "disarmed", status="21")
    assert "does not confirm" not in texts(snapshot(robot, unheard=True))


def test_a_request_for_help_counts_for_its_own_episode() -> None:
    robot = healthy()
    robot.say("policy/status", "running")
    robot.say("episode/state", "running", episode_id="e")
    robot.say("retry/request", "help", episode_id="d", cause="stalled")
    assert snapshot(robot)["alarms"] == []
    robot.say("retry/request", "help", episode_id="e", cause="stalled")
    assert "help: stalled" in texts(snapshot(robot))


def test_reasons_stay_long_enough_to_be_read() -> None:
    robot = healthy()
    robot.say("safety/status", "armed", reasons="workspace")
    robot.say("safety/status", "armed", reasons="")
    assert snapshot(robot)["safety"]["reasons"] == ["the edge of the workspace"]
    assert snapshot(robot, later_s=2.0)["safety"]["reasons"] == []


def test_that_the_policy_is_outranked_is_no_news_while_a_person_moves_the_robot() -> None:
    robot = healthy()
    robot.say("safety/status", "armed", reasons="outranked,workspace", source="intervention")
    assert snapshot(robot)["safety"]["reasons"] == ["the edge of the workspace"]
    robot.say("safety/status", "armed", reasons="outranked", source="policy")
    assert len(snapshot(robot)["safety"]["reasons"]) == 2


def test_lateness_is_the_worst_of_the_last_seconds() -> None:
    robot = healthy()
    for late in ("0.5", "7.25", "0.5", "nonsense"):
        robot.say("policy/status", "running", lateness_ms=late, skipped_ticks="2")
    shown = snapshot(robot)["policy"]
    assert shown["late_ms"] == 7.25 and shown["skipped"] == 2.0


def test_measured_values_grow_old() -> None:
    robot = healthy()
    robot.board.vector("progress", 1, ["progress"], [0.123456], time.monotonic())
    robot.board.vector("success", 1, ["success"], [float("nan")], time.monotonic())
    robot.board.vector("observation/state", 1, ["a", "b"], [1.0], time.monotonic())
    assert snapshot(robot)["measured"] == {
        "progress": {"progress": 0.1235}, "success": {}, "observation/state": {},
    }  # fmt: skip
    assert snapshot(robot, later_s=5.0)["measured"]["progress"] == {}


TEXT = st.text(max_size=12) | st.sampled_from(
    ["running", "nan", "inf", "1e400", "1", "21", "asking", "lost", "full", "x" * 70_000]
)


@settings(suppress_health_check=[HealthCheck.large_base_example, HealthCheck.data_too_large])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(EVENTS),
            TEXT,
            st.dictionaries(
                st.sampled_from(
                    ["reasons", "status", "help", "lateness_ms", "command_stamp", "queue",
                     "time_limit_s", "source", "chunk_id", "episode_id", "reason"]
                ),
                TEXT,
            ),
        ),
        max_size=20,
    )
)  # fmt: skip
def test_whatever_is_said_the_state_is_json_of_bounded_size(
    said: list[tuple[str, str, dict[str, str]]],
) -> None:
    board = Board(AXES, 20.0)
    for topic, message, values in said:
        board.hear(topic, Said(message, values, 0, 5, "", 1.0))
    for topic in VECTORS:
        board.vector(topic, 1, ["n" * 999] * 5, [1.0] * 5, 1.0)
    assert len(json.dumps(board.snapshot(1.0, 10, False), allow_nan=False)) < LARGEST
    json.dumps(board.trace(0, 10**12)[0], allow_nan=False)
