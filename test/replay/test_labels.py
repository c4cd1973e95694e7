from __future__ import annotations

import numpy as np

from vla_rl_nodes.replay.labels import chunks_at, privileged_at, reasons_at
from vla_rl_nodes.replay.recording import Recording
from vla_rl_nodes.safety.reasons import Reason

from .episode_bag import event, small_contract, trajectory, vector

CONTRACT = small_contract()
NAMES = list(CONTRACT.action.names)
LENGTH = CONTRACT.action.chunk_length


def test_chunks_of_a_tick_by_axis_name_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(LENGTH, 5)) for _ in range(6)]
    rows[3][4, 2] = np.inf
    reversed_names = NAMES[::-1]
    messages = [
        trajectory(10, reversed_names, rows[0][:, ::-1]),
        trajectory(10, NAMES, rows[1]),  # the same tick again
        trajectory(21, NAMES, rows[1]),  # belongs to no tick
        trajectory(20, NAMES, rows[2][:-1]),  # a row too few
        trajectory(30, NAMES, rows[3]),  # not finite
        trajectory(40, [*NAMES[:-1], "x"], rows[4]),  # an axis is missing
        trajectory(50, NAMES, np.zeros((0, 5))),
        trajectory(60, NAMES, rows[5]),
    ]
    recording = Recording("e", "bag", {"policy/chunk": messages})
    chunks = chunks_at(recording, CONTRACT, [10, 20, 30, 40, 50, 60])
    assert chunks.shape == (6, LENGTH, 5) and chunks.dtype == np.float32
    np.testing.assert_array_equal(chunks[0], rows[0].astype(np.float32))
    np.testing.assert_array_equal(chunks[5], rows[5].astype(np.float32))
    assert np.isnan(chunks[1:5]).all()
    assert recording.refused == {"policy/chunk": 5}


def test_reasons_go_to_the_tick_they_name_or_the_step_they_fell_in() -> None:
    def status(stamp: int, reasons: str, command: str) -> object:
        return event(stamp, "armed", {"reasons": reasons, "command_stamp": command})

    messages = [
        status(35, "workspace", "10"),
        status(36, "joint_velocity,workspace", "10"),
        status(20, "ik_failed", ""),
        status(29, "stale_command", ""),
        status(30, "not_armed", ""),
        status(9, "wrong_names", ""),  # before the first step
        status(40, "wrong_names", ""),  # at the end
        status(25, "wrong_names", "15"),  # a command that belongs to no step
        status(20, "", "20"),
    ]
    masks = reasons_at(Recording("e", "bag", {"safety/status": messages}), [10, 20, 30, 40])
    assert masks.dtype == np.uint32
    assert masks.tolist() == [
        Reason.WORKSPACE | Reason.JOINT_VELOCITY,
        Reason.IK_FAILED | Reason.STALE_COMMAND,
        Reason.NOT_ARMED,
    ]


def test_privileged_state_is_the_newest_before_the_tick() -> None:
    million = 1_000_000
    messages = [
        vector(s * million, ["p", "q"], v)
        for s, v in ((30, [3.0, 4.0]), (10, [1.0, 2.0]), (50, [5.0, np.nan]), (60, [6.0, 7.0]))
    ]
    recording = Recording("e", "bag", {"sim/state": messages})
    found = privileged_at(
        recording, CONTRACT, [s * million for s in (9, 10, 29, 31, 55, 60, 260, 261)]
    )
    assert found is not None
    rows, names = found
    assert names == ["p", "q"] and rows.dtype == np.float64
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(
        rows,
        np.array([nan, [1, 2], [1, 2], [3, 4], [3, 4], [6, 7], [6, 7], nan]),
    )
    assert recording.refused == {"sim/state": 1}


def test_a_real_robot_has_no_privileged_state() -> None:
    assert privileged_at(Recording("e", "bag", {"sim/state": []}), CONTRACT, [1, 2]) is None
