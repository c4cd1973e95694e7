from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.replay.quality_streams import Times, longest_gaps, measure_stream

VECTOR = "sensor_msgs/msg/JointState"
EVENT = "diagnostic_msgs/msg/DiagnosticArray"
MS = 1_000_000


def stream(stamps: list[int], late: int = MS, type_name: str = VECTOR) -> Times:
    return Times(
        type_name, stamps, [s + late for s in stamps], [s + 2 * late for s in stamps],
        list(range(len(stamps))),
    )  # fmt: skip


@given(
    lost=st.sets(st.integers(1, 198), max_size=40),
    jitter=st.integers(0, 2 * MS),
    seed=st.integers(0, 99),
)
def test_lost_samples_are_counted_by_their_period(lost: set[int], jitter: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = [k * 20 * MS + int(rng.integers(0, jitter + 1)) for k in range(200) if k not in lost]
    assert measure_stream(stream(stamps)).missing == len(lost)


def test_what_comes_at_any_time_has_no_period() -> None:
    rng = np.random.default_rng(3)
    stamps = np.cumsum(rng.integers(1, 40 * MS, size=200)).tolist()
    assert measure_stream(stream(stamps)).missing is None
    events = stream([k * 20 * MS for k in range(50)], type_name=EVENT)
    assert measure_stream(events).missing is None


@given(st.lists(st.integers(0, 10**12), max_size=60))
def test_any_stamps_can_be_measured(stamps: list[int]) -> None:
    quality = measure_stream(stream(stamps))
    assert quality.messages == len(stamps)
    assert quality.repeated == len(stamps) - len(set(stamps))
    ahead = [max(stamps[: i + 1]) for i in range(len(stamps))]
    assert quality.backwards == sum(s < a for s, a in zip(stamps, ahead, strict=True))


def test_numbers_left_out_are_messages_lost() -> None:
    times = stream([k * MS for k in range(10)])
    times.sequence = [0, 1, 2, 5, 6, 7, 8, 9, 10, 12]
    assert measure_stream(times).missing_sequence == 3
    times.sequence = [0] * 10  # as rosbag2 writes them
    assert measure_stream(times).missing_sequence == 0


def test_the_future_begins_behind_what_the_live_nodes_tolerate() -> None:
    stamps = [k * 10 * MS for k in range(20)]
    assert measure_stream(stream(stamps, late=-19 * MS)).future == 0
    quality = measure_stream(stream(stamps, late=-21 * MS))
    assert quality.future == 20 and quality.transport_min_ms == -21.0


@pytest.mark.parametrize("rate", [-0.01, 0.0, 0.02])
def test_drift_is_seen_through_delays(rate: float) -> None:
    rng = np.random.default_rng(4)
    true = np.arange(600) * 10 * MS
    times = stream((true * (1 + rate)).astype(np.int64).tolist())
    times.publish = (true + 3 * MS + rng.exponential(2 * MS, size=600)).astype(np.int64).tolist()
    drift = measure_stream(times).drift_ms
    # Of 6 s, the middles of the first and the last third are 4 s apart.
    assert drift == pytest.approx(rate * 4000.0, abs=1.0 + abs(rate) * 2000.0)
    assert drift is not None and (drift > 1.0) == (rate > 0) and (drift < -1.0) == (rate < 0)


def test_long_silences_have_a_place() -> None:
    times = stream([0, 10 * MS, 200 * MS, 210 * MS])
    assert longest_gaps(times, 100 * MS) == [(10 * MS, 200 * MS)]
