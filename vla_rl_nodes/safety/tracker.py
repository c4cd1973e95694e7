"""Tracks a moving joint reference within velocity and acceleration limits, without overshoot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ARRIVED = 1e-6  # steps: what is left is rounding, and has no direction


def braking_speed(steps: Array) -> Array:
    """Highest speed that still stops after a distance, in steps of an acceleration-limited stop.

    In units where one tick's greatest change of speed is 1, moving at ``m + f`` (m whole,
    0 < f <= 1) and slowing by 1 each tick covers ``m (m + 1) / 2 + (m + 1) f``; this is the
    inverse. The last step lands exactly.

    Args:
        steps: distances divided by ``acceleration * dt**2``, at least 0.

    Returns:
        The speeds of the next tick divided by ``acceleration * dt``.
    """
    whole = np.floor((np.sqrt(1.0 + 8.0 * steps) - 1.0) / 2.0)
    speed: Array = whole + (steps - whole * (whole + 1.0) / 2.0) / (whole + 1.0)
    return speed


def chase(
    error: Array, velocity: Array, dt: float, acceleration: Array, lower: Array, upper: Array
) -> Array:
    """Joint velocity [n] of the next tick, towards where the reference will be after it.

    All joints head straight for the reference, at the highest common rate from which each can
    stop there if the reference stops now. So in steady motion the arm trails the reference by
    exactly its stopping distance, on the reference's own line, and a reference that stops is
    reached without overshoot. (Adding the reference's own velocity would remove the lag of
    ``velocity / (2 * acceleration)`` and pay for it with an overshoot of the stopping distance
    whenever commands end, over a table or at the edge of the workspace.)

    Args:
        error: reference after this tick minus present command [n], rad.
        velocity: velocity of the last tick [n], rad/s.
        dt: the tick, s.
        acceleration: greatest acceleration [n], rad/s^2.
        lower: lowest velocity [n], at most 0, rad/s.
        upper: highest velocity [n], at least 0, rad/s.
    """
    most = acceleration * dt
    steps = np.abs(error) / (most * dt)
    stoppable = braking_speed(steps)
    longest = int(np.argmax(steps))
    far = float(steps[longest])
    wanted = error / dt if far <= 1.0 else error * (float(stoppable[longest]) / (far * dt))
    # A joint that may not move on at all is held alone; otherwise all slow down together, which
    # keeps the line.
    wanted = np.where((wanted > 0) & (upper <= 0), 0.0, wanted)
    wanted = np.where((wanted < 0) & (lower >= 0), 0.0, wanted)
    limit = np.where(wanted >= 0, upper, -lower)
    over = np.abs(wanted) > limit
    if over.any():
        wanted *= float(np.min(limit[over] / np.abs(wanted[over])))
    change = wanted - velocity
    # Along the line to the reference all joints change in step, which keeps the tool on it;
    # across it each joint changes as fast as it can, so that none waits for a slower one.
    if far > ARRIVED and (np.abs(change) > most * (1.0 + ARRIVED)).any():
        along = error * (float(change @ error) / float(error @ error))
        across = change - along
        change = along / max(1.0, float(np.max(np.abs(along) / most))) + across
    new = velocity + np.clip(change, -most, most)
    # For the sake of the line no joint turns away from what is wanted of it, nor goes on faster
    # than it can still stop.
    new = np.clip(new, np.minimum(velocity, wanted), np.maximum(velocity, wanted))
    ahead = np.sign(error)
    fastest = np.maximum(stoppable * most, ahead * velocity - most)
    return np.where(ahead * new > fastest, ahead * fastest, new)
