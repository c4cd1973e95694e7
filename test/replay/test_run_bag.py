from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_messages import VECTOR, vector
from bundles import Maker, shipped_model, student

from vla_rl_nodes.cli import main
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.run_bag import Runner
from vla_rl_nodes.replay.run_bag_report import as_dict
from vla_rl_nodes.replay.run_bag_text import lines
from vla_rl_nodes.resources import resource

from .episode_bag import MS, START_NS, Message
from .played_bag import play, setup_of, switch

SAMPLE = Path(__file__).resolve().parents[2] / "bags" / "franka_pick_sample"


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    from vla_rl_nodes.contract.load import load_contract

    return Maker(tmp_path_factory.mktemp("bundles"), load_contract("franka_pick"))


@pytest.fixture(scope="module")
def shipped(maker: Maker) -> Path:
    return maker("shipped")


def level(maker: Maker, name: str, share: float) -> Path:
    """A policy that always gives the same share of every upper bound, nearly."""
    return maker(name, student(maker.contract, gain=1e-6, level=share))


def run(maker: Maker, bag: Path, *bundles: Path, chunking: str = "prefix") -> dict[str, Any]:
    runner = Runner(setup_of(maker.trusted, chunking), bundles)
    return as_dict(runner, [runner.run(bag)])


@pytest.mark.parametrize("seed", range(4))
def test_the_bundle_that_recorded_a_bag_makes_every_proposal_again(
    seed: int, tmp_path: Path, maker: Maker, shipped: Path
) -> None:
    bag = play(tmp_path / "bag", shipped, maker.trusted, seed, noise_seed=seed * 1_000)
    report = run(maker, bag, shipped)
    (found,) = report["bags"]
    (version,) = found["versions"]
    again = version["reproduced"]
    acted = sum(step["recorded"]["proposed"] is not None for step in found["steps"])
    assert again["equal"] == again["compared"] == version["proposed"]["compared"] == acted > 30
    assert version["proposed"]["only_one"] == version["proposed"]["only_other"] == 0
    assert found["observations_differing"] == found["chunks_unplaced"] == 0
    assert all(step["versions"][0]["in_step"] for step in found["steps"]
               if step["recorded"]["proposed"] is not None)  # fmt: skip
    # Not a single delay and prefix throughout, or nothing is proven about them.
    assert found["chunks_recorded"] >= 4


@pytest.mark.parametrize("chunking", ["naive_async", "temporal_ensemble"])
def test_so_does_another_strategy_where_it_is_named(
    chunking: str, tmp_path: Path, maker: Maker, shipped: Path
) -> None:
    bag = play(tmp_path / "bag", shipped, maker.trusted, 11, chunking=chunking)
    version = run(maker, bag, shipped, chunking=chunking)["bags"][0]["versions"][0]
    assert version["own_schedule"] == ""
    assert version["reproduced"]["equal"] == version["proposed"]["compared"] > 30


def test_standing_still_for_every_chunk_is_a_schedule_of_its_own(
    tmp_path: Path, maker: Maker, shipped: Path
) -> None:
    bag = play(tmp_path / "bag", shipped, maker.trusted, 3)
    version = run(maker, bag, shipped, chunking="sync")["bags"][0]["versions"][0]
    assert "stands still" in version["own_schedule"]
    assert version["starved"] > 5


def test_lost_reports_and_samples_are_counted_and_cost_no_more(
    tmp_path: Path, maker: Maker, shipped: Path
) -> None:
    def lose(messages: list[Message]) -> None:
        status = sorted(m.stamp_ns for m in messages if m.topic == "policy/status")
        gone = set(status[12:14])
        messages[:] = [
            m for m in messages if not (m.topic == "policy/status" and m.stamp_ns in gone)
        ]
        messages[:] = [m for m in messages if not (
            m.topic.endswith("scene") and START_NS + 900 * MS < m.stamp_ns < START_NS + 1000 * MS
        )]  # fmt: skip

    bag = play(tmp_path / "bag", shipped, maker.trusted, 4, change=lose)
    found = run(maker, bag, shipped)["bags"][0]
    assert found["ticks"] == 48 and found["observations"] < 46
    again = found["versions"][0]["reproduced"]
    # The first chunks are whole, and those after the loss are in step again.
    assert again["compared"] > 12 and again["equal"] >= 10


def test_the_sample_is_reproduced_through_policy_and_filter(maker: Maker) -> None:
    bundle = resource("config/policies/franka_pick")
    runner = Runner(setup_of(resource("config/keys")), [bundle])
    version = as_dict(runner, [runner.run(SAMPLE)])["bags"][0]["versions"][0]
    # Another version recorded it, whose student is the same to the bit.
    assert version["reproduced"]["compared"] == 0
    assert version["proposed"]["equal"] == version["proposed"]["compared"] == 62
    executed = version["executed"]
    assert executed["compared"] == 62
    assert all(axis["max"] < 1e-12 for axis in executed["axes"].values())
    assert max(version["drift"].values()) < 1e-9


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "vla_rl_nodes.cli", "policy", "run-bag",
        str(resource("config/policies/franka_pick")), str(SAMPLE), "--json",
    ]  # fmt: skip
    written = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert written[0] == written[1] and len(written[0]) > 10_000


def test_a_scaled_output_is_told_exactly(tmp_path: Path, maker: Maker, contract: Contract) -> None:
    one, other = level(maker, "tenth", 0.10), level(maker, "eighth", 0.125)
    bag = play(tmp_path / "bag", one, maker.trusted, 5)
    report = run(maker, bag, one, other)
    first, second = report["bags"][0]["versions"]
    assert first["proposed"]["equal"] == first["proposed"]["compared"] > 30
    assert second["reproduced"]["compared"] == 0
    for axis in contract.action.axes:
        told = second["proposed"]["axes"][axis.name]
        # gain times noise of at most about 5
        assert told["max"] == pytest.approx(0.025 * axis.maximum, abs=2e-5)
        assert told["mean"] == pytest.approx(0.025 * axis.maximum, abs=2e-5)
        assert told["unit"] == axis.unit
    assert report["bags"][0]["between"]["proposed"]["axes"] == second["proposed"]["axes"]


@pytest.mark.learner
def test_a_scaled_last_layer_is_told_exactly_and_what_it_would_have_hit(maker: Maker) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_from_string(shipped_model(maker.contract))
    for weights in graph.graph.initializer:
        if weights.name in ("policy.scales.action_spread", "policy.scales.action_mean"):
            values = onnx.numpy_helper.to_array(weights).copy()
            values[2] *= np.float32(1.5)  # tool_z goes down half as fast again
            weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    bundle = maker("scaled", graph.SerializeToString())
    found = run(maker, SAMPLE, bundle)["bags"][0]
    rows = [s for s in found["steps"] if s["recorded"]["proposed"] is not None]
    recorded = np.array([s["recorded"]["proposed"] for s in rows])
    proposed = np.array([s["versions"][0]["proposed"] for s in rows])
    assert len(rows) == 62
    assert proposed == pytest.approx(recorded * [1, 1, 1.5, 1, 1], abs=1e-7)
    limits = found["versions"][0]["limits"]
    # Too low too soon: the workspace's floor first, and the table behind it.
    assert limits["workspace"]["new"] == 18 and limits["collision"]["new"] == 3


def test_who_trips_which_limit(tmp_path: Path, maker: Maker) -> None:
    calm, wild = level(maker, "calm", 0.02), level(maker, "wild", 0.9)
    bag = play(tmp_path / "bag", calm, maker.trusted, 6)
    report = run(maker, bag, calm, wild)
    found = report["bags"][0]
    first, second = found["versions"]
    assert "workspace" not in first["limits"]
    tripped = second["limits"]["workspace"]
    assert tripped["replayed"] == tripped["new"] > 5 and tripped["recorded"] == 0
    pair = found["between"]["limits"]["workspace"]
    assert pair == {"both": 0, "only_first": 0, "only_second": tripped["new"]}
    text = "\n".join(lines(report))
    assert f"{second['version']}: at " in text and "workspace 0 both" in text
    # Where the arm really went, the sample tells: the wild one leaves it by far.
    away = run(maker, SAMPLE, wild)["bags"][0]["versions"][0]
    assert away["drift"]["tool_x"] > 0.1
    assert any(counts["new"] > 5 for counts in away["limits"].values())


def test_what_a_person_commanded_is_replayed(tmp_path: Path, maker: Maker) -> None:
    bundle = level(maker, "steady", 0.05)
    person = [0.0, 0.004, 0.0, 0.0, 0.08]
    names = list(maker.contract.action.names)
    stamps: list[int] = []

    def intervene(messages: list[Message]) -> None:
        ticks = [m for m in messages if m.topic == "policy/status"][10:20]
        messages.append(switch("intervention/active", ticks[0].stamp_ns - 2 * MS, True))
        messages.append(switch("intervention/active", ticks[-1].stamp_ns + 30 * MS, False))
        for m in ticks:
            stamps.append(m.stamp_ns)
            body = vector(m.stamp_ns, names, person)
            messages.append(
                Message("intervention/command", VECTOR, m.stamp_ns, m.stamp_ns + MS, body)
            )

    bag = play(tmp_path / "bag", bundle, maker.trusted, 7, change=intervene)
    steps = {s["stamp_ns"]: s["versions"][0] for s in run(maker, bag, bundle)["bags"][0]["steps"]}
    for stamp in stamps[1:]:
        assert steps[stamp]["executed"] == pytest.approx(person, abs=1e-9)
        assert "outranked" in steps[stamp]["reasons"]
        assert steps[stamp]["proposed"] is not None


def test_sums_are_of_all_steps(tmp_path: Path, maker: Maker) -> None:
    one, other = level(maker, "sum-a", 0.05), level(maker, "sum-b", 0.3)
    bags = [play(tmp_path / f"bag{s}", one, maker.trusted, s, ticks=20) for s in (8, 9)]
    runner = Runner(setup_of(maker.trusted), [other])
    report = as_dict(runner, [runner.run(bag) for bag in bags])
    parts = [bag["versions"][0]["proposed"] for bag in report["bags"]]
    whole = report["sum"]["versions"][0]["proposed"]
    assert whole["compared"] == sum(p["compared"] for p in parts)
    for axis in whole["axes"]:
        means = [p["axes"][axis]["mean"] for p in parts]
        weights = [p["compared"] for p in parts]
        assert whole["axes"][axis]["mean"] == pytest.approx(np.average(means, weights=weights))
        assert whole["axes"][axis]["max"] == max(p["axes"][axis]["max"] for p in parts)
    assert any(line.startswith("in sum: 2 bags") for line in lines(report))


def test_a_demonstration_without_chunks_is_replayed_one_tick_late(
    tmp_path: Path, maker: Maker, shipped: Path
) -> None:
    def forget(messages: list[Message]) -> None:
        for m in messages:
            if m.topic == "policy/status":
                for entry in m.body.status[0].values:
                    if entry.key in ("noise_seed", "chunk_id", "chunk_index", "prefix_length"):
                        object.__setattr__(entry, "value", "")

    bag = play(tmp_path / "bag", shipped, maker.trusted, 10, change=forget)
    version = run(maker, bag, shipped)["bags"][0]["versions"][0]
    assert "no chunk is recorded" in version["own_schedule"]
    assert version["proposed"]["compared"] > 20 and version["reproduced"]["compared"] == 0


def test_the_same_version_twice_is_refused(maker: Maker, shipped: Path) -> None:
    with pytest.raises(InputError, match="again; give another bundle"):
        Runner(setup_of(maker.trusted), [shipped, shipped])


def test_the_command_prints_one_object(
    tmp_path: Path, maker: Maker, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = play(tmp_path / "bag", shipped, maker.trusted, 12, ticks=15)
    arguments = ["policy", "run-bag", str(shipped), str(bag), "--trusted-keys", str(maker.trusted)]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bags"][0]["bag"] == str(bag) and len(report["bags"][0]["steps"]) == 15
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "made again bit for bit" in said and "open loop" in said
