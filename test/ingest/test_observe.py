"""The live observation is built from what the rule chooses, or says what is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.ingest.observe import AlignedObservation, Observer

CONTRACT = load_contract("franka_pick")
MS = 1_000_000


def _message(stream: Any, value: int) -> Any:
    if stream.kind == "image":
        data = np.full((64, 64, 3), value, dtype=np.uint8)
        return SimpleNamespace(encoding="rgb8", height=64, width=64, step=192, data=data.tobytes())
    return SimpleNamespace(name=list(stream.names), position=[float(value)] * len(stream.names))


def _filled(stamps: dict[str, list[int]]) -> Observer:
    observer = Observer(CONTRACT)
    for stream in CONTRACT.streams:
        for stamp in stamps[stream.key]:
            observer.add(stream.key, _message(stream, stamp // MS), stamp, 200 * MS)
    return observer


STAMPS = {
    "image_scene": [60 * MS, 93 * MS, 126 * MS],
    "image_wrist": [61 * MS, 94 * MS, 127 * MS],
    "state": [90 * MS, 100 * MS, 110 * MS],
    "reference": [50 * MS, 99 * MS],
}


def test_newest_at_or_before_the_step() -> None:
    seen = _filled(STAMPS).observe(100 * MS)
    assert isinstance(seen, AlignedObservation)
    assert seen.stamps_ns == {
        "image_scene": 93 * MS, "image_wrist": 94 * MS, "state": 100 * MS, "reference": 99 * MS,
    }  # fmt: skip
    assert (seen.observation["image_scene"] == 93).all()
    assert (seen.observation["state"] == 100.0).all()


def test_too_old_a_stream_is_named_not_filled_in() -> None:
    assert _filled({**STAMPS, "state": []}).observe(100 * MS) == "state"
    late = _filled(STAMPS).observe(100 * MS + CONTRACT.streams[0].max_age_ns + 94 * MS)
    assert late == "image_scene"


def test_nothing_from_before_the_reset_is_used() -> None:
    observer = _filled(STAMPS)
    assert observer.observe(100 * MS, not_before_ns=94 * MS) == "image_scene"
    assert isinstance(observer.observe(100 * MS, not_before_ns=93 * MS), AlignedObservation)


def test_hash_is_that_of_the_rebuilt_observation() -> None:
    first, again = _filled(STAMPS).observe(100 * MS), _filled(STAMPS).observe(105 * MS)
    assert isinstance(first, AlignedObservation) and isinstance(again, AlignedObservation)
    assert first.sha256 == again.sha256
    other = _filled(STAMPS).observe(110 * MS)
    assert isinstance(other, AlignedObservation) and other.sha256 != first.sha256
