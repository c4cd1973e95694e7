"""Whatever is commanded, what is emitted keeps every limit and can always stop."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.robots.tool_frame import tilt_from_rotation

MANY = settings(max_examples=25, deadline=None)

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
# How many periods, the command, its residual, whether the command is dropped, ticks missed.
PHASE = st.tuples(
    st.integers(1, 10),
    st.one_of(PUSH, ORDINARY, WILD),
    st.one_of(st.none(), ORDINARY, WILD),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([0, 0, 0, 2, 9]),
)
START = st.tuples(
    st.floats(0.27, 0.62), st.floats(-0.3, 0.3), st.floats(0.02, 0.5), st.floats(-1, 1)
)


def drive(rig: Any, phases: list[Any], jitter: bool = False) -> None:
    """Plays the phases, and arms again where the filter stopped.

    A stop amid a wild motion can leave the tool tilted further than arming allows: the end.
    """
    for i, (periods, command, residual, dropped, skipped) in enumerate(phases):
        for period in range(periods):
            if not dropped:
                if residual is not None:
                    rig.residual(residual)
                rig.command(command)
            # With jitter, control ticks are three to seven filter ticks apart.
            rig.step(3 + (3 * i + 5 * period) % 5 if jitter else 5)
        if skipped:
            rig.step(skipped=skipped)
        if rig.filter.state in ("stopped", "faulted"):
            tilt = tilt_from_rotation(rig.kinematics.fk(rig.q).rotation)
            if tilt > rig.limits.arming_tilt_max:
                return
            rig.filter.arm(rig.now, rig.q, 0.04)
    rig.step(100)


@MANY
@given(START, st.lists(PHASE, min_size=1, max_size=5), st.booleans())
def test_no_command_sequence_breaks_a_limit(
    new_rig: Any, start: tuple[float, ...], phases: list[Any], jitter: bool
) -> None:
    rig = new_rig(new_rig.at(new_rig, *start))
    drive(rig, phases, jitter)
    rig.assert_stream_safe()
    assert rig.outputs[-1].state in ("stopped", "holding")
    assert not any("in the filter" in m for output in rig.outputs for m in output.messages)
    np.testing.assert_allclose(rig.stream[-1][1], 0.0, atol=1e-9)  # the last command is at rest


@MANY
@given(
    st.sampled_from([(0.2, 0.0, 0.3), (0.45, 0.42, 0.3), (0.5, -0.4, 0.05)]),
    st.lists(PHASE, min_size=1, max_size=4),
)
def test_an_arm_outside_the_box_never_goes_further_out(
    new_rig: Any, start: tuple[float, float, float], phases: list[Any]
) -> None:
    rig = new_rig(new_rig.at(new_rig, *start))
    drive(rig, phases)
    rig.assert_stream_safe(box=False)
    points = rig.kinematics.tool_points(rig.positions())
    margin = rig.limits.workspace_tolerance
    outside = np.maximum(rig.limits.workspace.lower - margin - points, 0.0) + np.maximum(
        points - rig.limits.workspace.upper - margin, 0.0
    )
    assert outside[0].max() > 0.0  # it does begin outside
    assert (np.diff(outside, axis=0) <= 1e-8).all()


@MANY
@given(START, st.lists(PHASE, min_size=1, max_size=5))
def test_what_is_executed_is_finite_and_within_the_contract(
    new_rig: Any, start: tuple[float, ...], phases: list[Any]
) -> None:
    rig = new_rig(new_rig.at(new_rig, *start))
    drive(rig, phases)
    action = rig.contract.action
    executed = [o.executed for o in rig.outputs if o.executed is not None]
    for one in executed:
        assert np.isfinite(one.values).all()
        assert (one.values >= action.minimum - 1e-6).all()
        assert (one.values <= action.maximum + 1e-6).all()
    sent = any(np.isfinite(c).all() and not dropped for _, c, _, dropped, _ in phases)
    assert bool(executed) == sent


@settings(max_examples=10, deadline=None)
@given(START, st.lists(PHASE, min_size=1, max_size=4))
def test_the_same_calls_give_the_same_bytes(
    new_rig: Any, start: tuple[float, ...], phases: list[Any]
) -> None:
    q = new_rig.at(new_rig, *start)
    first, second = new_rig(q), new_rig(q)
    drive(first, phases)
    drive(second, phases)
    for a, b in zip(first.outputs, second.outputs, strict=True):
        assert (a.plan is None) == (b.plan is None)
        if a.plan is not None and b.plan is not None:
            assert all(x.tobytes() == y.tobytes() for x, y in zip(a.plan, b.plan, strict=True))
        assert (a.state, a.status, a.reasons, a.messages, a.gripper_width) == (
            b.state, b.status, b.reasons, b.messages, b.gripper_width,
        )  # fmt: skip
