"""Stamped buffers keep order, refuse bad stamps, and answer the alignment rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.buffer import Sample, StampedBuffer

S = 1_000_000_000


def _sample(stamp: int) -> Sample:
    return Sample(stamp, np.array([float(stamp)]))


@given(st.lists(st.integers(0, 900), unique=True, max_size=60), st.integers(0, 1000))
def test_newest_whatever_the_order_of_arrival(stamps: list[int], at: int) -> None:
    buffer = StampedBuffer("x", capacity=16)
    for stamp in stamps:
        buffer.add(_sample(stamp), 1000)
    kept: list[int] = []
    for stamp in stamps:  # what a bounded buffer can still know
        kept = sorted([*kept, stamp])[-16:]
    usable = [s for s in kept if at - 300 <= s <= at]
    newest = buffer.newest(at, 300)
    assert (None if newest is None else newest.stamp_ns) == max(usable, default=None)


@pytest.mark.parametrize(
    ("stamp", "said"),
    [(5 * S + 30_000_000, "in the future"), (4 * S - 1, "old on arrival")],
)
def test_stale_and_future_samples_are_refused(stamp: int, said: str) -> None:
    buffer = StampedBuffer("topic")
    with pytest.raises(InputError, match=said):
        buffer.add(_sample(stamp), 5 * S)
    assert buffer.newest(10 * S, 10 * S) is None


def test_a_stamp_twice_is_refused_and_the_first_stays() -> None:
    buffer = StampedBuffer("topic")
    buffer.add(_sample(7), 10)
    with pytest.raises(InputError, match="two publishers"):
        buffer.add(Sample(7, np.array([99.0])), 10)
    newest = buffer.newest(8, 8)
    assert newest is not None and newest.value[0] == 7.0
