from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from vla_rl_nodes.bags.summary import summarise
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.errors import InputError

from .sensor_messages import IMAGE, TOPICS, traffic


def record(folder: Path, close: bool) -> list[tuple[str, int]]:
    writer = EpisodeWriter(
        folder, "ep", TOPICS, contract_yaml="", metadata={"robot": "fr3"}, start_ns=0
    )
    sent = traffic(seed=31, seconds=1.2, side=16)
    for s in sent:
        writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
    if close:
        writer.close("timeout", dropped={TOPICS[1].name: 4})
    else:
        writer.abandon()
    return [(s.topic, s.log_time_ns) for s in sent]


def test_closed_bag(tmp_path: Path) -> None:
    sent = record(tmp_path / "ep", close=True)
    summary = summarise(tmp_path / "ep")
    times = [t for _, t in sent]
    assert summary.closed and summary.problem is None
    assert (summary.episode_id, summary.outcome) == ("ep", "timeout")
    assert summary.messages == len(sent)
    assert summary.duration_s == pytest.approx((max(times) - min(times)) / 1e9)
    assert summary.dropped == {TOPICS[1].name: 4}
    assert summary.metadata == {"robot": "fr3"}
    for topic in summary.topics:
        of_topic = [t for name, t in sent if name == topic.name]
        assert topic.count == len(of_topic)
        assert topic.rate_hz is not None
        seconds = (max(of_topic) - min(of_topic)) / 1e9
        assert topic.rate_hz * seconds == pytest.approx(len(of_topic) - 1)
    assert summary.topics[1].type_name == IMAGE
    assert json.loads(json.dumps(asdict(summary)))["size_bytes"] == summary.size_bytes


def test_unclosed_bag_is_counted_up_to_its_cut(tmp_path: Path) -> None:
    sent = record(tmp_path / "ep", close=False)
    summary = summarise(tmp_path / "ep")
    assert not summary.closed
    assert summary.problem is not None and "was not closed" in summary.problem
    assert summary.messages == len(sent)
    assert (summary.episode_id, summary.outcome, summary.dropped) == ("ep", None, {})


def test_no_rate_below_two_messages(tmp_path: Path) -> None:
    writer = EpisodeWriter(
        tmp_path / "ep", "ep", TOPICS, contract_yaml="", metadata={}, start_ns=0
    )
    writer.write(TOPICS[0].name, IMAGE, b"\0\1\0\0", 77, 70)
    writer.close("aborted")
    (topic,) = summarise(tmp_path / "ep").topics
    assert (topic.count, topic.rate_hz) == (1, None)


def test_nothing_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        summarise(tmp_path / "none")
