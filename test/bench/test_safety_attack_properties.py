"""Hypothesis composes attacks, and shrinks the one that breaks a bound."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_rl_nodes.bench.safety.events import (
    FLAWS,
    ClockJump,
    Disarm,
    Drive,
    Engage,
    EStop,
    Event,
    Flawed,
    LetGo,
    Push,
    Silence,
    Skip,
    Stuck,
    Tighten,
    Tilt,
)
from vla_rl_nodes.bench.safety.figures import Figures
from vla_rl_nodes.bench.safety.rig import Rig
from vla_rl_nodes.bench.safety.round import come_to_rest
from vla_rl_nodes.bench.safety.starts import starts
from vla_rl_nodes.bench.safety.subjects import ROBOTS, Subject, subjects
from vla_rl_nodes.safety.state import Source, State

AXES = 13  # as many as any action has; each takes the first of them

shares = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(-0.1, 1.1))
rows = st.lists(st.lists(shares, min_size=AXES, max_size=AXES), min_size=1, max_size=8)
sources = st.sampled_from([Source.INTERVENTION, Source.RESET])
ticks = st.integers(0, 40)


@st.composite
def drives(draw: st.DrawFn) -> Drive:
    """Commands, perhaps with residuals, a rival, missed and late ticks."""
    shown = np.array(draw(rows))
    count = len(shown)
    per_period = st.lists(st.integers(0, 12), max_size=count)
    return Drive(
        shown,
        source=draw(st.sampled_from(list(Source))),
        residuals=(0.2 * (np.array(draw(rows)) - 0.5)[:1].repeat(count, axis=0)
                   if draw(st.booleans()) else None),
        rival=1.0 - shown if draw(st.booleans()) else None,
        skipped=tuple(draw(per_period)),
        late_ms=tuple(float(x) for x in draw(per_period)),
        shift_ms=draw(st.sampled_from([0.0, 0.0, -100.0, -30.0, 15.0])),
    )  # fmt: skip


events: st.SearchStrategy[Event] = st.one_of(
    drives(),
    drives(),
    st.builds(Flawed, st.sampled_from(FLAWS), st.floats(0, 1), st.sampled_from(list(Source)),
              st.booleans()),
    st.builds(Silence, ticks, st.booleans()),
    st.builds(Skip, st.integers(0, 15)),
    st.builds(ClockJump, st.sampled_from([-1e4, -60.0, -10.0, 10.0, 60.0, 1e4]),
              st.sampled_from([0.0, 10.0, 1e4])),
    st.builds(Engage, sources, st.booleans()),
    st.builds(EStop, ticks),
    st.builds(LetGo, ticks),
    st.builds(Disarm, ticks),
    st.builds(Tighten, st.floats(0.2, 1.0)),
    st.builds(Stuck, drives()),
    st.builds(Tilt, st.floats(-0.6, 0.6), drives()),
    st.builds(lambda f, d, s: Push(np.array(f), d, s),
              st.lists(st.floats(-150, 150), min_size=3, max_size=3), drives(), st.booleans()),
)  # fmt: skip


# Full speed first, so that what follows hits an arm in motion.
bursts = st.builds(
    lambda corner, periods: Drive(np.tile(np.array(corner), (periods, 1))),
    st.lists(st.sampled_from([0.0, 1.0, 0.2, 0.7]), min_size=AXES, max_size=AXES),
    st.integers(3, 10),
)


@cache
def attacked(name: str) -> tuple[list[Subject], list[list[np.ndarray]]]:
    """A robot's subjects, and for each where it may begin."""
    every = list(subjects(name, Path(tempfile.mkdtemp())))
    random = np.random.default_rng(11)
    return every, [starts(subject, random) for subject in every]


def cut(event: Event, axes: int) -> Event:
    """The event for an action of so many axes."""
    if isinstance(event, Drive):
        event = Drive(
            event.rows[:, :axes], event.source,
            None if event.residuals is None else event.residuals[:, :axes],
            None if event.rival is None else event.rival[:, :axes],
            event.skipped, event.late_ms, event.shift_ms,
        )  # fmt: skip
    elif isinstance(event, Push):
        event = Push(event.force, _cut_drive(event.drive, axes), event.silent)
    elif isinstance(event, Tilt):
        event = Tilt(event.angle, _cut_drive(event.drive, axes))
    elif isinstance(event, Stuck):
        event = Stuck(_cut_drive(event.drive, axes))
    return event


def _cut_drive(drive: Drive, axes: int) -> Drive:
    found = cut(drive, axes)
    assert isinstance(found, Drive)
    return found


@pytest.mark.parametrize("name", ROBOTS)
@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(data=st.data())
def test_no_sequence_of_events_breaks_a_bound(name: str, data: st.DataObject) -> None:
    every, places = attacked(name)
    number = data.draw(st.integers(0, len(every) - 1), label="subject")
    subject = every[number]
    place = data.draw(st.integers(0, len(places[number]) - 1), label="place")
    pairs = st.lists(st.tuples(bursts, events), min_size=2, max_size=6)
    sequence = [event for pair in data.draw(pairs, label="events") for event in pair]
    rig = Rig(subject, Figures(), 0)
    rig.lag, rig.noise = data.draw(st.integers(1, 4), label="lag"), 0.0
    rig.carry_to(places[number][place])
    if not rig.arm():
        rig.carry_to(subject.robot.home)
        assert rig.arm(), "home is where every robot can be armed"
    for event in sequence:
        if rig.filter.state not in (State.ARMED, State.HOLDING):
            come_to_rest(rig)
            if not rig.arm():
                break
        cut(event, len(rig.names)).apply(rig)
    rig.filter.disarm()
    come_to_rest(rig)
    assert rig.violations() == []
    assert rig.failures == []
