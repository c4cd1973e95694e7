"""An episode's figures against what its bag was made of, and bags with almost nothing in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.measure import FRAMES, EpisodeMeasure, measure_episode
from vla_rl_nodes.errors import InputError

from .demo_bag import (
    CONTRACT,
    EVENT,
    LIMITS,
    MS,
    READY_NS,
    ROBOT,
    STORE,
    VECTOR,
    DemoBag,
    Message,
    event,
    filter_event,
    vector,
)


def measured(bag: DemoBag, folder: Path) -> EpisodeMeasure:
    return measure_episode(bag.write(folder), CONTRACT, ROBOT, LIMITS)


def test_a_whole_episode(tmp_path: Path) -> None:
    bag = DemoBag(seed=8, filter_lateness=list(np.linspace(0.1, 3.0, 27)))
    m = measured(bag, tmp_path)
    count = len(bag.ticks)
    assert (m.episode_id, m.seed, m.outcome, m.reason) == (
        bag.episode_id, 8, "success", "sim/predicate"
    )  # fmt: skip
    assert m.duration_s == pytest.approx(1.2) and m.policy_versions == ("v1",)
    assert m.ticks.ticks == m.ticks.acted == m.ticks.expected == count == 24
    assert m.ticks.kept == 1.0
    np.testing.assert_allclose(m.ticks.lateness_ms, bag.lateness, atol=6e-4)
    assert m.ticks.skipped == 0
    assert m.chunks.count == 6
    np.testing.assert_array_equal(m.chunks.inference_ms, 11.0 + np.arange(6))
    np.testing.assert_array_equal(m.chunks.delay, [0, 1, 1, 1, 1, 1])
    assert m.chunks.misses == 1 and m.chunks.prefix_error == 0.0
    assert m.parity.matched == m.parity.ticks == count
    np.testing.assert_allclose(m.trace.proposed, bag.proposed, rtol=1e-6)
    np.testing.assert_allclose(m.trace.times_s, (np.array(bag.ticks) - READY_NS - 150 * MS) / 1e9)
    # Reports from the start on; the one before it and those behind the end do not count.
    inside = np.linspace(0.1, 3.0, 27)[3:]
    np.testing.assert_allclose(m.filter.lateness_ms, inside, atol=6e-4)
    assert m.filter.skipped == 1  # 520 filter ticks after the first report
    assert all(len(frames) == FRAMES for frames in m.trace.frames.values())
    assert m.trace.frames["image_wrist"].std() > 50


def test_the_age_of_what_was_seen(tmp_path: Path) -> None:
    bag = DemoBag(seed=5)
    m = measured(bag, tmp_path)
    begin = READY_NS + 110 * MS
    ages = [(tick - begin) % (33 * MS) / 1e6 for tick in bag.ticks]
    np.testing.assert_allclose(m.ticks.ages_ms["image_scene"], ages)
    ages = [(tick - begin) % (10 * MS) / 1e6 for tick in bag.ticks]
    np.testing.assert_allclose(m.ticks.ages_ms["state"], ages)


def test_ticks_after_the_end_are_not_the_episodes(tmp_path: Path) -> None:
    bag = DemoBag(seed=5)
    after = bag.end_ns + MS
    values = {"tick": "24", "episode_id": bag.episode_id, "lateness_ms": "99", "starved": "1"}
    bag.extra = [Message("policy/status", EVENT, after, event(after, "running", values, "v9"))]
    m = measured(bag, tmp_path)
    assert m.ticks.ticks == 24 and m.ticks.starved == 0 and m.policy_versions == ("v1",)
    assert m.ticks.lateness_ms.max() < 10


def test_ticks_without_an_action_are_not_kept(tmp_path: Path) -> None:
    bag = DemoBag(seed=6)
    bag.proposed[[4, 9, 10]] = np.nan  # starved
    bag.executed[[4, 9, 10]] = np.nan
    late = bag.ticks[20]

    def change(m: Message) -> bool:
        if m.topic != "policy/status":
            return False
        values = {v.key: v for v in m.body.status[0].values}
        number = int(values["tick"].value)
        values["starved"].value = str(int(number in (4, 9, 10)))
        values["skipped_ticks"].value = str(7 + 2 * (number > 15))
        return m.publish_ns - MS == late  # this report was lost: so is its tick

    bag.drop = change
    m = measured(bag, tmp_path)
    assert (m.ticks.ticks, m.ticks.acted, m.ticks.starved, m.ticks.skipped) == (23, 20, 3, 2)
    assert m.ticks.kept == pytest.approx(20 / 24)
    assert m.filter.refused == 0


def test_what_the_filter_did(tmp_path: Path) -> None:
    bag = DemoBag(seed=7)
    bag.executed[3, 0] -= 0.004
    bag.executed[15, 2] += 0.002  # a tick with a residual
    bag.executed[20] = np.nan
    ticks = bag.ticks
    for k, reasons in ((3, "workspace"), (15, "workspace,joint_velocity"), (16, "action_bound")):
        body = filter_event(ticks[k], "armed", 510, 0.1, reasons, str(ticks[k]))
        bag.extra.append(Message("safety/status", EVENT, ticks[k] + 8 * MS, body))
    names = list(CONTRACT.action.names)
    bag.extra += [
        Message("intervention/command", VECTOR, ticks[k], vector(ticks[k], names, np.ones(5)))
        for k in (11, 12)
    ]
    m = measured(bag, tmp_path)
    assert (m.filter.executed, m.filter.changed, m.filter.refused) == (23, 2, 1)
    assert m.filter.reasons == {"workspace": 2, "action_bound": 1, "joint_velocity": 1}
    assert m.filter.residual_ticks == 12 and m.filter.interventions == 2
    largest = np.abs(bag.residual[12:]).max(axis=0)
    np.testing.assert_allclose(m.filter.residual_largest, largest, rtol=1e-6)
    kept = np.arange(24) != 20
    np.testing.assert_allclose(
        m.filter.difference, np.abs(bag.executed - bag.proposed)[kept], atol=2e-8
    )


def test_observations_that_are_not_what_was_seen(tmp_path: Path) -> None:
    bag = DemoBag(seed=2)

    def change(m: Message) -> bool:
        if m.topic == "policy/status":
            values = {v.key: v for v in m.body.status[0].values}
            if values["tick"].value in ("5", "6", "7"):
                values["observation_sha256"].value = "0" * 64
        return False

    bag.drop = change
    m = measured(bag, tmp_path)
    assert (m.parity.matched, m.observed, m.parity.differing) == (21, 24, 3)


def test_an_episode_without_chunks(tmp_path: Path) -> None:
    m = measured(DemoBag(chunked=False), tmp_path)
    assert m.chunks.count == 0 and m.chunks.prefix_error is None
    assert m.summary()["inference_p50_ms"] is None and m.ticks.kept == 1.0


def test_an_episode_that_was_aborted_before_its_first_tick(tmp_path: Path) -> None:
    bag = DemoBag(outcome="aborted", reason="the policy was silent for 0.26 s")
    bag.drop = lambda m: m.topic.startswith("policy") or m.topic == "safety/executed"
    m = measured(bag, tmp_path)
    assert (m.outcome, m.reason) == ("aborted", "the policy was silent for 0.26 s")
    assert m.ticks.ticks == 0 and m.ticks.kept == 0.0 and m.parity.ticks == 0
    assert len(m.limits.commanded.times_s) == 138 and m.limits.counts == {}
    assert m.trace.frames == {}
    json.dumps(m.summary(), allow_nan=False)


def test_an_episode_that_never_ran(tmp_path: Path) -> None:
    bag = DemoBag(outcome="aborted", reason="recorder, filter or observations were not ready")

    def change(m: Message) -> bool:
        running = m.topic == "episode/state" and m.body.status[0].message == "running"
        return running or m.topic.startswith("policy") or m.topic == "safety/executed"

    bag.drop = change
    m = measured(bag, tmp_path)
    assert m.duration_s == 0.0 and m.ticks.kept is None and m.outcome == "aborted"
    assert m.summary()["ticks_kept"] is None


def test_a_bag_that_its_recorder_closed_before_an_outcome(tmp_path: Path) -> None:
    bag = DemoBag(outcome="aborted", reason="recording ended before an outcome")
    bag.drop = lambda m: m.topic == "episode/state" and m.body.status[0].message == "aborted"
    m = measured(bag, tmp_path)
    assert (m.outcome, m.reason, m.seed) == ("aborted", bag.reason, 3)
    assert m.ticks.ticks == 24


def test_images_that_were_seen_but_not_recorded(tmp_path: Path) -> None:
    m = measured(DemoBag(drop=lambda m: m.topic.startswith("observation/images")), tmp_path)
    assert m.ticks.acted == m.observed == 24 and m.parity.matched == 0
    assert m.trace.frames == {}


def test_a_policy_that_saw_no_image(tmp_path: Path) -> None:
    m = measured(DemoBag(images=False), tmp_path)
    assert m.trace.frames == {} and m.ticks.blind == 24 and m.ticks.acted == 0
    assert m.parity.ticks == 24 and m.observed == 0  # it saw nothing that could be rebuilt
    assert m.limits.counts == {}


def test_an_image_that_was_not_recorded_is_black(tmp_path: Path) -> None:
    bag = DemoBag(seed=4)
    # The image that the first tick used, 20 ms after the start.
    lost = READY_NS + 110 * MS + 33 * MS
    bag.drop = lambda m: m.topic == "observation/images/scene" and m.publish_ns == lost
    m = measured(bag, tmp_path)
    assert not m.trace.frames["image_scene"][0].any()
    assert m.trace.frames["image_scene"][1].any() and m.trace.frames["image_wrist"][0].any()
    assert m.parity.matched < 24


def test_a_bag_without_commands(tmp_path: Path) -> None:
    m = measured(DemoBag(drop=lambda m: m.topic.startswith(("fr3_arm", "franka"))), tmp_path)
    assert m.limits.counts == {} and len(m.limits.commanded.times_s) == 0
    assert m.limits.missing > 100  # the filter says that it commanded
    json.dumps(m.summary(), allow_nan=False)


def test_a_damaged_bag_is_one_line(tmp_path: Path) -> None:
    path = DemoBag().write(tmp_path)
    file = next(path.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(InputError, match="is damaged") as error:
        measure_episode(path, CONTRACT, ROBOT, LIMITS)
    assert "\n" not in str(error.value)


def test_an_unclosed_bag_is_refused(tmp_path: Path) -> None:
    path = DemoBag().write(tmp_path, close=False)
    with pytest.raises(InputError, match="was not closed"):
        measure_episode(path, CONTRACT, ROBOT, LIMITS)


@pytest.mark.parametrize("ended", [True, False])
def test_another_contract_is_refused(tmp_path: Path, ended: bool) -> None:
    bag = DemoBag()
    bag.drop = lambda m: (
        m.topic == "episode/state" and m.body.status[0].message == "success" and not ended
    )
    path = bag.write(tmp_path)
    data = CONTRACT.model_dump()
    data["rates"]["policy_hz"] = 10
    with pytest.raises(InputError, match="was recorded with contract"):
        measure_episode(path, Contract.model_validate(data), ROBOT, LIMITS)


def test_another_recording_is_refused(tmp_path: Path) -> None:
    topic = Topic("/chatter", EVENT)
    with EpisodeWriter(
        tmp_path / "x", "x", [topic], contract_yaml="", metadata={}, start_ns=1
    ) as writer:
        cdr = bytes(STORE.serialize_cdr(event(5, "hello", {}), EVENT))
        writer.write("/chatter", EVENT, cdr, 5, 5)
        writer.close("aborted")
    with pytest.raises(InputError, match="is no recording of an episode"):
        measure_episode(tmp_path / "x", CONTRACT, ROBOT, LIMITS)


def test_the_summary_is_plain_and_finite(tmp_path: Path) -> None:
    m = measured(DemoBag(seed=9), tmp_path)
    summary = json.loads(json.dumps(m.summary(), allow_nan=False))
    assert summary == m.summary()
    assert summary["tick_lateness_p99_ms"] == pytest.approx(np.percentile(m.ticks.lateness_ms, 99))
    assert summary["limit_violations"] == 0 and summary["delay_max"] == 1
