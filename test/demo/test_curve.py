"""The curve read from messages is the one that the simulated controller follows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.demo.curve import Knots, Trajectory, follow, position_at, sample
from vla_rl_nodes.sim.controllers import JointController

MS = 1_000_000
JOINTS = 3


def message(
    rng: np.random.Generator, stamp_ns: int, publish_ns: int, points: int, gap_ms: int
) -> Trajectory:
    """Random knots, at rest in the last one."""
    times = stamp_ns + np.arange(points, dtype=np.int64) * gap_ms * MS
    q, v, a = rng.uniform(-2.0, 2.0, (3, points, JOINTS))
    v[-1] = a[-1] = 0.0
    return Trajectory(publish_ns, Knots(times, q, v, a))


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(1, 25), st.integers(0, 8), st.integers(2, 6)), min_size=1,
             max_size=6),
)  # fmt: skip
def test_messages_are_followed_as_the_controller_does(
    seed: int, steps: list[tuple[int, int, int]]
) -> None:
    """Each message begins when it is published, before or after the one before it has ended."""
    rng = np.random.default_rng(seed)
    at = 1_000 * MS
    messages = []
    for wait_ms, late_ms, points in steps:
        at += (wait_ms + late_ms) * MS
        messages.append(message(rng, at - late_ms * MS, at, points, 10))
    controller = JointController(JOINTS)
    controller.initialise(np.zeros(JOINTS))
    knots, seams = follow(messages)
    assert (np.diff(knots.times_ns) > 0).all()
    for i, m in enumerate(messages):
        k, now = m.knots, m.publish_ns / 1e9
        before = controller.sample(now)
        controller.command_trajectory(k.times_ns / 1e9, k.q, k.v, k.a, 0.0, now)
        np.testing.assert_allclose(position_at(k, m.publish_ns), controller.sample(now), atol=1e-9)
        if i:
            leap = controller.sample(now) - before
            np.testing.assert_allclose(seams[i - 1].leap, leap, atol=1e-9)
            assert seams[i - 1].time_ns == m.publish_ns
    last = messages[-1]
    for t in np.linspace(last.publish_ns, last.knots.times_ns[-1] + 5 * MS, 7).astype(np.int64):
        np.testing.assert_allclose(
            position_at(last.knots, int(t)), controller.sample(t / 1e9), atol=1e-9
        )


def test_constant_jerk_is_sampled_with_all_its_derivatives() -> None:
    q, v, a, jerk, h = 0.3, -1.2, 4.0, -700.0, 0.02

    def state(t: float) -> tuple[float, float, float, float]:
        return (q + v * t + a * t**2 / 2 + jerk * t**3 / 6, v + a * t + jerk * t**2 / 2,
                a + jerk * t, jerk)  # fmt: skip

    ends = np.array([state(0.0), state(h)])[:, :, None]
    times = np.array([5, 5 + round(h * 1e9)], dtype=np.int64)
    knots = Knots(times, ends[:, 0], ends[:, 1], ends[:, 2])
    shares = np.array([0.25, 0.6, 1.0])
    found = sample(knots, shares)
    for i, share in enumerate(shares):
        for column, expected in zip(found, state(share * h), strict=True):
            np.testing.assert_allclose(column[0, i, 0], expected, rtol=1e-8)


def test_a_clock_that_was_set_back_does_not_turn_the_curve_round() -> None:
    rng = np.random.default_rng(3)
    messages = [message(rng, stamp * MS, stamp * MS, 4, 10) for stamp in (100, 110, 60, 70)]
    knots, _ = follow(messages)
    assert (np.diff(knots.times_ns) > 0).all()
    assert knots.times_ns[0] == 60 * MS
