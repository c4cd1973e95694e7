from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcap.records import Metadata

from vla_rl_nodes.bags.start_copy import COPY_RECORD, StartCopy, read_copy

from .chunk_map import chunk_map, rows_of
from .tiny_bag import TINY_TOPICS, recovered, tiny_traffic, write_tiny

COPY = StartCopy({"episode_id": "e", "task": "µ"}, 5, ((1, "/a", "std_msgs/msg/Bool"),))


def test_comes_back_as_it_was_written() -> None:
    assert read_copy(Metadata(COPY_RECORD, COPY.record())) == COPY


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("other", {}), (COPY_RECORD, {"crc32": "00000000"}), (COPY_RECORD, {"json": "{}"}),
        (COPY_RECORD, {"json": json.dumps({"metadata": {}})}),
    ],
)  # fmt: skip
def test_anything_else_is_none(name: str, change: dict[str, str]) -> None:
    assert read_copy(Metadata(name, {**COPY.record(), **change})) is None


def test_a_right_crc_over_something_else_is_none() -> None:
    assert read_copy(Metadata(COPY_RECORD, StartCopy({}, 1, ()).record())) is not None
    broken = StartCopy({"a": 3}, 1, ()).record()  # type: ignore[dict-item]
    assert read_copy(Metadata(COPY_RECORD, broken)) is None


@pytest.mark.parametrize("first_copy_too", [False, True])
def test_an_unclosed_bag_survives_the_loss_of_its_first_chunk(
    tmp_path: Path, first_copy_too: bool
) -> None:
    """Nothing but the copy behind it tells then which topic a number stands for."""
    whole = write_tiny(tmp_path / "t", tiny_traffic(seed=1))
    blocks = chunk_map(whole)
    start = 30 if first_copy_too else blocks[0].begin
    cut = whole[: blocks[-1].end]
    damaged = cut[:start] + bytes(blocks[0].end - start) + cut[blocks[0].end :]
    checked, unchecked = recovered(damaged)
    assert checked == rows_of(blocks[1:]) and not unchecked
    assert {row[0] for row in checked} == {t.name for t in TINY_TOPICS[:2]}
