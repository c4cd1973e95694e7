"""Whatever is commanded, what is emitted keeps every limit and can always stop."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

MANY = settings(max_examples=40, deadline=None)

ORDINARY = st.tuples(*[st.floats(-0.02, 0.02)] * 3, st.floats(-0.15, 0.15), st.floats(0, 0.08))
PUSH = st.tuples(  # as hard as it goes in one direction, for a while
    *[st.sampled_from([-0.02, 0.0, 0.02])] * 3,
    st.sampled_from([-0.15, 0.0, 0.15]),
    st.sampled_from([0.0, 0.08]),
)
WILD = st.tuples(
    *[st.sampled_from([-1e300, -50.0, -0.02, 0.0, 0.02, 50.0, 1e300, float("nan"), float("inf")])]
    * 5
)
# How many periods, the command, its residual, and whether the command is dropped.
PHASE = st.tuples(
    st.integers(1, 10),
    st.one_of(PUSH, ORDINARY, WILD),
    st.one_of(st.none(), ORDINARY, WILD),
    st.sampled_from([False, False, False, True]),
)
START = st.tuples(
    st.floats(0.27, 0.62), st.floats(-0.3, 0.3), st.floats(0.013, 0.5), st.floats(-1, 1)
)


def drive(rig: Any, phases: list[Any], jitter: bool = False) -> list[int]:
    """Plays the phases, arms again where the filter stopped; where in the outputs that was."""
    armed = [0]
    for i, (periods, command, residual, dropped) in enumerate(phases):
        for period in range(periods):
            if not dropped:
                if residual is not None:
                    rig.residual(residual)
                rig.command(command)
            # With jitter, control ticks are three to seven filter ticks apart.
            rig.step(3 + (3 * i + 5 * period) % 5 if jitter else 5)
        if rig.filter.state in ("stopped", "faulted"):
            rig.filter.arm(rig.now, rig.q, 0.04)
            armed.append(len(rig.outputs))
    rig.step(80)
    return armed


@MANY
@given(START, st.lists(PHASE, min_size=1, max_size=6), st.booleans())
def test_no_command_sequence_breaks_a_limit(
    new_rig: Any, start: tuple[float, ...], phases: list[Any], jitter: bool
) -> None:
    rig = new_rig(new_rig.at(new_rig, *start))
    drive(rig, phases, jitter)
    rig.assert_stream_safe()
    assert rig.outputs[-1].state in ("stopped", "holding")
    assert np.abs(rig.stream[-1] - rig.stream[-2]).max() < 1e-11  # the last command is at rest


@MANY
@given(
    st.sampled_from([(0.2, 0.0, 0.3), (0.45, 0.42, 0.3), (0.5, -0.4, 0.005), (0.5, 0.0, 0.002)]),
    st.lists(PHASE, min_size=1, max_size=5),
)
def test_an_arm_outside_the_box_never_goes_further_out(
    new_rig: Any, start: tuple[float, float, float], phases: list[Any]
) -> None:
    rig = new_rig(new_rig.at(new_rig, *start))
    drive(rig, phases)
    rig.assert_stream_safe(box=False)
    points = rig.kinematics.tool_points(np.array(rig.stream))
    margin = rig.limits.workspace_tolerance
    outside = np.maximum(rig.limits.workspace.lower - margin - points, 0.0) + np.maximum(
        points - rig.limits.workspace.upper - margin, 0.0
    )
    assert outside[0].max() > 0.0  # it does begin outside
    assert (np.diff(outside, axis=0) <= 1e-8).all()


@MANY
@given(START, st.lists(PHASE, min_size=1, max_size=6))
def test_executed_is_the_change_of_the_reference_within_the_contract(
    new_rig: Any, start: tuple[float, ...], phases: list[Any]
) -> None:
    rig = new_rig(new_rig.at(new_rig, *start))
    rig.step()
    armed = drive(rig, [(p, c, r, False) for p, c, r, _ in phases])
    action = rig.contract.action
    accepted = 0
    for i, output in enumerate(rig.outputs):
        before = None if i == 0 or i in armed else rig.outputs[i - 1].reference
        if output.executed is not None:
            values = output.executed.values
            assert np.isfinite(values).all()
            assert (values >= action.minimum).all() and (values <= action.maximum).all()
            assert output.reference[4] == values[4]
            accepted += 1
            if before is not None:
                change = output.reference[:4] - before[:4]
                change[3] = (change[3] + np.pi) % (2 * np.pi) - np.pi
                np.testing.assert_allclose(values[:4], change, atol=1e-12)
        elif before is not None:
            np.testing.assert_array_equal(output.reference, before)
    finite = any(np.isfinite(c).all() for _, c, _, _ in phases)
    assert (accepted > 0) == finite


@settings(max_examples=15, deadline=None)
@given(START, st.lists(PHASE, min_size=1, max_size=6))
def test_the_same_calls_give_the_same_bytes(
    new_rig: Any, start: tuple[float, ...], phases: list[Any]
) -> None:
    q = new_rig.at(new_rig, *start)
    first, second = new_rig(q), new_rig(q)
    drive(first, phases)
    drive(second, phases)
    assert np.array(first.stream).tobytes() == np.array(second.stream).tobytes()
    for a, b in zip(first.outputs, second.outputs, strict=True):
        assert a.stop_tail.tobytes() == b.stop_tail.tobytes()
        assert (a.state, a.reasons, a.messages, a.gripper_width) == (
            b.state, b.reasons, b.messages, b.gripper_width,
        )  # fmt: skip


@MANY
@given(START, START, st.integers(1, 60), st.booleans())
def test_the_arm_rests_a_quarter_second_after_the_last_command(
    new_rig: Any, first: tuple[float, ...], then: tuple[float, ...], periods: int, close: bool
) -> None:
    # An ordinary pick motion: from home, at two centimetres and 0.05 rad a control period,
    # straight to one goal, a pause while the gripper closes, then straight to another; and the
    # commands end anywhere on the way. (An arm that is sent back at full speed first overshoots,
    # then returns to its reference, which takes longer; so does a joint that is faster than
    # 1.9 rad/s: a quarter of a second is the control period and 1.9 rad/s at 10 rad/s^2.)
    rig = new_rig()
    reference = rig.step().reference
    arrived = 0
    for _ in range(periods):
        goal = first if arrived < 8 else then
        way = np.array(goal[:3]) - reference[:3]
        length = max(1.0, float(np.linalg.norm(way)) / 0.02)
        turn = float(np.clip(goal[3] - reference[3], -0.05, 0.05))
        arrived += length == 1.0 and abs(goal[3] - reference[3]) < 0.05
        reference = rig.act([*way / length, turn, 0.0 if close else 0.08]).reference
    assume(np.abs(np.diff(rig.stream, axis=0)).max() <= 0.019)
    rig.step(20)  # with the command's own period, a quarter of a second
    before = len(rig.stream)
    rig.step(5)
    assert np.ptp(np.array(rig.stream[before - 1 :]), axis=0).max() < 1e-9
    rig.assert_stream_safe()
