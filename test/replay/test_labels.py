from __future__ import annotations

from typing import Any

import numpy as np

from vla_rl_nodes.replay.critique import MOST_BYTES
from vla_rl_nodes.replay.labels import chunks_at, critiques_at, privileged_at, reasons_at
from vla_rl_nodes.replay.outcome import NOT_WON, Won
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


def critique(stamp: int, text: str = "t", message: str = "critique", **changes: str) -> object:
    values = {"episode_id": "e", "source": "s", "critique": text, "critique_code": "3"}
    return event(stamp, message, values | changes)


def read(messages: list[object], won: Won = NOT_WON, breaks: tuple[int, ...] = ()) -> Any:
    recording = Recording("e", "bag", {"reward/status": messages})
    found, left_out = critiques_at(recording, [10, 20, 30, 40], won, breaks)
    return found, left_out, recording.refused["reward/status"]


def test_critiques_stand_at_their_steps_in_order() -> None:
    messages = [
        critique(40, "last"), critique(21, "b", source="other", critique_code="-7"),
        critique(21, "a"), critique(20, "ends step 0"), critique(10, "before"),
        critique(41, "behind", critique_code=""), critique(15, "older"),
        critique(20, episode_id="another"), critique(20, message="judging"),
    ]  # fmt: skip
    found, left_out, refused = read(messages)
    assert [(c.step, c.stamp_ns, c.source, c.text, c.code) for c in found] == [
        (-1, 10, "s", "before", 3), (-1, 41, "s", "behind", None), (0, 15, "s", "older", 3),
        (0, 20, "s", "ends step 0", 3), (1, 21, "other", "b", -7), (1, 21, "s", "a", 3),
        (2, 40, "s", "last", 3),
    ]  # fmt: skip
    assert (left_out, refused) == (0, 0)


def test_the_critique_of_a_success_goes_with_its_reward() -> None:
    messages = [critique(15), critique(16)]
    found, _, _ = read(messages, Won(frozenset({15})))
    assert [(c.step, c.stamp_ns) for c in found] == [(0, 16), (2, 15)]
    found, _, _ = read(messages, Won(frozenset({15}), is_last=False))
    assert [(c.step, c.stamp_ns) for c in found] == [(-1, 15), (0, 16)]


def test_while_it_was_held_no_step_was_judged() -> None:
    found, _, _ = read([critique(25), critique(35)], breaks=(1,))
    assert [(c.step, c.stamp_ns) for c in found] == [(-1, 25), (2, 35)]


def test_what_is_no_critique_is_counted_and_costs_no_other() -> None:
    broken = [critique(15, critique_code=code) for code in ("x", "1.5", str(2**63), "9" * 5000)]
    for key in ("critique", "source"):
        values = {"episode_id": "e", "source": "s", "critique": "t"}
        del values[key]
        broken.append(event(15, "critique", values))
    found, left_out, refused = read([*broken, critique(15, "", source="")])
    assert [(c.text, c.source) for c in found] == [("", "")]
    assert (left_out, refused) == (0, len(broken))


def test_what_has_no_room_is_counted() -> None:
    messages = [critique(15, "x" * (MOST_BYTES // 2)) for _ in range(5)]
    found, left_out, refused = read([*messages, critique(12, "the newest")])
    assert [len(c.text) for c in found] == [10, MOST_BYTES // 2]
    assert (left_out, refused) == (4, 0)
