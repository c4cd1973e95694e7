"""When a device counts as noisy, frozen or silent, and when it does not."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.intervention.reading import Reader
from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.intervention.watch import Watch
from vla_rl_nodes.safety.state import Instant

from .said import START_NS, joints, twist

FR3 = [f"fr3_joint{i}" for i in range(1, 8)]
MS = 1_000_000


def at(ms: float) -> Instant:
    return Instant(START_NS + round(ms * MS), round(ms * MS))


@pytest.mark.parametrize(("hz", "noisy"), [(2.0, False), (4.0, False), (15.0, True)])
def test_no_hand_is_as_quick_as_a_bad_cable(hz: float, noisy: bool) -> None:
    settings = load_device("spacemouse")
    reader, watch, said = Reader(settings), Watch(settings), False
    for ms in range(0, 3000, 10):
        push = 0.68 * np.sign(np.sin(2.0 * np.pi * hz * ms / 1e3))
        watch.hear(reader.read(twist([0, 0, 0, 0, push, 0]), at(ms)))
        said = said or "noisy" in watch.problem(at(ms), False, True)
    assert said is noisy
    watch.hear(reader.read(twist([0.0] * 6), at(4000)))
    assert watch.problem(at(4000), True, False) == ""  # it is over when it is over


def test_a_leader_that_leaps_to_and_fro_is_noisy_but_one_that_is_swung_is_not() -> None:
    settings = load_device("gello_fr3")
    for leap, noisy in ((0.5, True), (0.05, False)):
        reader, watch, said = Reader(settings), Watch(settings), False
        for step in range(60):
            values = [leap * (step % 2)] + [0.0] * 6
            stamp = at(20 * step)
            watch.hear(reader.read(joints(stamp.ros_ns, FR3, values), stamp))
            said = said or "noisy" in watch.problem(stamp, False, True)
        assert said is noisy


def test_silence_counts_from_the_last_new_stamp() -> None:
    settings = load_device("gello_fr3")
    reader, watch = Reader(settings), Watch(settings)
    assert watch.problem(at(0), True, False) == "nothing was heard of it"
    reading = reader.read(joints(START_NS, FR3, [0.0] * 7), at(0))
    assert watch.hear(reading)
    assert watch.problem(at(190), False, True) == ""
    assert watch.problem(at(210), False, True) == "silent for 0.2 s"
    assert not watch.hear(reading._replace(arrival=at(220)))
    assert watch.problem(at(230), False, True) == "frozen: its stamp stands still for 0.2 s"
