from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.recording import Recording
from vla_rl_nodes.replay.steps import actions_at, read_ticks

from .episode_bag import event, vector

NAMES = ("a", "b")


def recording(**messages: list[Any]) -> Recording:
    return Recording("e1", "bag", {k.replace("__", "/"): v for k, v in messages.items()})


def status(stamp: int, version: str = "v", **values: str) -> Any:
    given = {k.replace("__", "."): v for k, v in values.items()}
    return event(stamp, "running", {"episode_id": "e1", **given}, version)


def test_ticks_are_sorted_by_stamp_and_of_this_episode_only() -> None:
    messages = [
        status(30, tick="1"), status(10, tick="0"), event(20, "running", {"episode_id": "e0"}),
        status(50), status(30, chunk_id="9"), event(40, "running", {}),
    ]  # fmt: skip
    ticks, repeated = read_ticks(recording(policy__status=messages))
    assert [t.stamp_ns for t in ticks] == [10, 30, 50]
    assert repeated == 1 and ticks[1].chunk_id == -1


def test_values_are_read_and_absent_ones_are_minus_one() -> None:
    full = status(
        10, "v7", stamp__image="9", stamp__state="4", observation_sha256="ab", chunk_id="12",
        chunk_index="3", delay="2", noise_seed=str(2**63 - 1),
    )  # fmt: skip
    (tick, bare), _ = read_ticks(
        recording(policy__status=[full, status(20, observation_sha256="", stamp__state="")])
    )
    assert tick.sample_stamps_ns == {"image": 9, "state": 4}
    assert (tick.observation_sha256, tick.policy_version) == ("ab", "v7")
    assert (tick.chunk_id, tick.chunk_index, tick.delay) == (12, 3, 2)
    assert tick.noise_seed == 2**63 - 1
    assert bare.sample_stamps_ns == {} and bare.observation_sha256 is None
    assert (bare.chunk_id, bare.chunk_index, bare.delay, bare.noise_seed) == (-1, -1, -1, -1)


@pytest.mark.parametrize(
    "values",
    [{"chunk_id": "x"}, {"delay": "1.5"}, {"noise_seed": str(2**63)}, {"stamp__state": "nan"}],
)
def test_values_that_are_no_numbers_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"policy/status at 10: .*not a whole number"):
        read_ticks(recording(policy__status=[status(10, **values)]))


def test_event_with_another_number_of_statuses_is_counted() -> None:
    odd = status(10)
    object.__setattr__(odd, "status", [])
    found = recording(policy__status=[odd, status(20)])
    ticks, _ = read_ticks(found)
    assert [t.stamp_ns for t in ticks] == [20]
    assert found.refused == {"policy/status": 1}


@given(
    ticks=st.lists(st.integers(0, 8), unique=True, max_size=6).map(sorted),
    sent=st.lists(
        st.tuples(st.integers(0, 8), st.floats(-9, 9, width=32), st.booleans()), max_size=20
    ),
)
def test_actions_join_by_equal_stamps_only(
    ticks: list[int], sent: list[tuple[int, float, bool]]
) -> None:
    messages = [
        vector(stamp, ["b", "x", "a"], [value, 77.0, -value if whole else np.nan])
        for stamp, value, whole in sent
    ]
    found = recording(t=messages)
    rows = actions_at(found, "t", NAMES, ticks)
    assert rows.shape == (len(ticks), 2) and rows.dtype == np.float32
    for tick, row in zip(ticks, rows, strict=True):
        valid = [value for stamp, value, whole in sent if stamp == tick and whole]
        expected = [-valid[0], valid[0]] if valid else [np.nan, np.nan]
        np.testing.assert_array_equal(row, np.array(expected, dtype=np.float32))
    on_ticks = sum(stamp in ticks for stamp, _, _ in sent)
    assert found.refused["t"] == on_ticks - np.isfinite(rows[:, 0]).sum()
