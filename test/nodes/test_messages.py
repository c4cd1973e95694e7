"""Events, vectors, chunks and complaints as messages."""

from __future__ import annotations

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message, to_message
from vla_rl_nodes.nodes.vector import trajectory_message, vector_message


class _Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, line: str) -> None:
        self.lines.append(line)


def test_event_round_trip() -> None:
    event = Event(
        "policy", "running", {"a": "1", "b": ""}, "v1", b"\x01", 1_700_000_000_123_456_789
    )
    assert from_message(to_message(event), "x", Complaints(_Log())) == event


def test_an_array_of_two_is_no_event_and_is_told() -> None:
    log = _Log()
    message = DiagnosticArray(status=[DiagnosticStatus()] * 2)
    assert from_message(message, "policy/status", Complaints(log)) is None
    assert log.lines == ["policy/status: holds 2 statuses, not one; check who sends it"]


def test_vector_and_chunk_keep_stamps_names_and_values() -> None:
    stamp = 12_345_678_901
    vector = vector_message(stamp, ["a", "b"], np.array([1.5, -2.0]), "base")
    assert stamp_ns(vector) == stamp and vector.header.frame_id == "base"
    assert named_vector(vector, ["b", "a"]).tolist() == [-2.0, 1.5]
    rows = np.arange(6.0).reshape(3, 2)
    chunk = trajectory_message(stamp, ["a", "b"], rows, 400_000_000, first_ns=100_000_000)
    times = [p.time_from_start.sec + p.time_from_start.nanosec / 1e9 for p in chunk.points]
    assert np.allclose(times, [0.1, 0.5, 0.9])
    assert np.allclose([list(p.positions) for p in chunk.points], rows)


def test_a_flood_of_one_kind_is_one_line() -> None:
    log = _Log()
    complaints = Complaints(log)
    for number in range(1000):
        complaints.say(f"stale by {number}", kind="stale")
    complaints.say("another\nthing")
    assert log.lines == ["stale by 0", "another thing"]
