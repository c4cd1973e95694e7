"""Take-overs at full speed: two sources that want opposite things, and neither waits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.events import values
from vla_rl_nodes.bench.safety.figures import Figures
from vla_rl_nodes.bench.safety.rig import Rig
from vla_rl_nodes.bench.safety.round import Found, collect, come_to_rest, place
from vla_rl_nodes.bench.safety.subjects import Subject
from vla_rl_nodes.safety.state import Source, State

Array = NDArray[np.float64]

FAST = 0.5  # of its velocity limit: a joint that moves so is at speed
PERIODS_MAX = 12  # of one source before the other takes over


class HandOvers(NamedTuple):
    """What was done and found: hand-overs, those with a joint at speed, violations."""

    done: int
    at_speed: int
    found: Found


def hand_overs(subject: Subject, seed: tuple[int, ...], count: int, figures: Figures) -> HandOvers:
    """Policy and intervention take over from each other at random ticks, at full speed in
    opposite directions, ``count`` times."""
    random = np.random.default_rng(seed)
    rig = Rig(subject, figures, int(random.integers(2**31)))
    found, done, at_speed = Found(), 0, 0
    places = [subject.robot.home]
    engaged = False
    way = random.integers(0, 2, len(rig.names)).astype(np.float64)
    while done < count:
        if rig.filter.state not in (State.ARMED, State.HOLDING):
            engaged = False
            come_to_rest(rig)
            if not rig.arm() and not place(rig, places, random):
                raise AssertionError(f"{subject.name} cannot be armed at home")
        if random.random() < 0.2:
            way = random.integers(0, 2, len(rig.names)).astype(np.float64)
        for _ in range(int(random.integers(2, PERIODS_MAX * rig.ticks))):
            if rig.action_due:
                rig.offer(Source.POLICY, values(rig, way))
                rig.offer(Source.INTERVENTION, values(rig, 1.0 - way))
            rig.step()
        if rig.filter.state is not State.ARMED:
            continue
        state = rig.checker.state
        assert state is not None
        at_speed += bool((np.abs(state[1]) > FAST * subject.bounds.v_max).any())
        engaged = not engaged
        rig.engage(Source.INTERVENTION, engaged)
        done += 1
    rig.filter.disarm()
    come_to_rest(rig)
    collect(found, rig.violations(), f"hand-overs {','.join(map(str, seed))} of {subject.name}")
    return HandOvers(done, at_speed, found)
