from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.observation import digest
from vla_rl_nodes.replay.observe import (
    Match,
    Rebuilt,
    StreamSamples,
    Unbuilt,
    by_rule,
    read_samples,
    rebuild,
)
from vla_rl_nodes.replay.recording import Recording
from vla_rl_nodes.replay.steps import Tick

from .episode_bag import image, small_contract, vector

CONTRACT = small_contract()
KEYS = [stream.key for stream in CONTRACT.streams]


def samples_at(stamps: dict[str, list[int]]) -> dict[str, StreamSamples]:
    rng = np.random.default_rng(3)
    messages = {}
    for stream in CONTRACT.streams:
        messages[stream.topic] = [
            image(s, rng.integers(0, 256, size=stream.shape, dtype=np.uint8))
            if stream.kind == "image"
            else vector(s, list(stream.names), rng.normal(size=len(stream.names)))
            for s in stamps[stream.key]
        ]
    return read_samples(Recording("e", "bag", messages), CONTRACT)


def tick(stamp: int, used: dict[str, int], sha256: str | None = None) -> Tick:
    return Tick(stamp, used, sha256, "v", 0, 0, 0, 0)


@given(
    stamps=st.lists(st.integers(0, 500), max_size=40),
    at=st.integers(-5, 505),
    max_age=st.integers(0, 200),
)
def test_no_future_or_stale_sample_is_ever_chosen(
    stamps: list[int], at: int, max_age: int
) -> None:
    samples = StreamSamples()
    for stamp in stamps:  # in any order of arrival, with repetitions
        samples.add(stamp, np.array([stamp]))
    chosen = samples.newest(at, max_age)
    usable = [s for s in stamps if at - max_age <= s <= at]
    assert chosen == max(usable, default=None)
    if chosen is not None:
        value = samples.at(chosen)
        assert value is not None and value[0] <= at


@given(
    data=st.data(),
    at=st.integers(1000, 2000),
)
def test_rebuilt_ticks_use_exactly_the_recorded_stamps(data: st.DataObject, at: int) -> None:
    millisecond = 1_000_000
    stamps = {
        key: data.draw(st.lists(st.integers(900, 2050), min_size=1, max_size=6, unique=True))
        for key in KEYS
    }
    streams = samples_at({k: [s * millisecond for s in v] for k, v in stamps.items()})
    used = {key: data.draw(st.sampled_from(v)) for key, v in stamps.items()}
    rebuilt = rebuild(
        CONTRACT, streams, tick(at * millisecond, {k: s * millisecond for k, s in used.items()})
    )
    if any(s > at for s in used.values()):
        assert rebuilt is Unbuilt.FUTURE
        return
    assert isinstance(rebuilt, Rebuilt) and rebuilt.match is Match.NO_HASH
    differs = False
    for stream in CONTRACT.streams:
        expected = streams[stream.key].at(used[stream.key] * millisecond)
        np.testing.assert_array_equal(rebuilt.observation[stream.key], expected)
        age = round(stream.max_age_s * 1000)
        usable = [s for s in stamps[stream.key] if at - age <= s <= at]
        differs |= max(usable, default=None) != used[stream.key]
    assert rebuilt.rule_differs == differs


def test_hash_tells_equal_from_different() -> None:
    streams = samples_at({key: [5, 9] for key in KEYS})
    used = dict.fromkeys(KEYS, 9)
    observation = by_rule(CONTRACT, streams, 9)
    assert observation is not None
    right = digest(observation)
    equal = rebuild(CONTRACT, streams, tick(10, used, right))
    other = rebuild(CONTRACT, streams, tick(10, {**used, "state": 5}, right))
    assert isinstance(equal, Rebuilt) and equal.match is Match.EQUAL and not equal.rule_differs
    assert isinstance(other, Rebuilt) and other.match is Match.DIFFERS and other.rule_differs


def test_reasons_why_a_tick_has_no_observation() -> None:
    streams = samples_at({key: [5] for key in KEYS})
    used = dict.fromkeys(KEYS, 5)
    assert rebuild(CONTRACT, streams, tick(9, {})) is Unbuilt.NOT_BUILT_LIVE
    assert rebuild(CONTRACT, streams, tick(9, {k: 5 for k in KEYS[:-1]})) is Unbuilt.NOT_BUILT_LIVE
    assert rebuild(CONTRACT, streams, tick(9, {**used, "state": 6})) is Unbuilt.NOT_RECORDED
    assert rebuild(CONTRACT, streams, tick(4, used)) is Unbuilt.FUTURE


def test_rule_gives_nothing_where_one_stream_is_stale() -> None:
    oldest = min(stream.max_age_ns for stream in CONTRACT.streams)
    streams = samples_at({key: [1000] for key in KEYS})
    assert by_rule(CONTRACT, streams, 1000 + oldest) is not None
    assert by_rule(CONTRACT, streams, 1000 + oldest + 1) is None
    assert by_rule(CONTRACT, streams, 999) is None


def test_first_sample_of_a_stamp_counts_and_wrong_ones_are_counted() -> None:
    stream = next(s for s in CONTRACT.streams if s.key == "reference")
    names = list(stream.names)
    messages = {s.topic: [] for s in CONTRACT.streams}
    messages[stream.topic] = [
        vector(7, names, [1, 2, 3, 4, 5]),
        vector(7, names, [9, 9, 9, 9, 9]),
        vector(8, names, [1, 2, np.inf, 4, 5]),
        vector(9, names, [1, 2, 1e300, 4, 5]),  # overflows float32
        vector(10, names[:-1], [1, 2, 3, 4]),
    ]
    recording = Recording("e", "bag", messages)
    samples = read_samples(recording, CONTRACT)["reference"]
    assert list(samples.stamps) == [7]
    value = samples.at(7)
    assert value is not None and value.tolist() == [1, 2, 3, 4, 5]
    assert recording.refused == {stream.topic: 4}
