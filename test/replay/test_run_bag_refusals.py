"""What `policy run-bag` cannot use is one line, and never a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import Maker, student

from vla_rl_nodes.cli import main
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.resources import resource

from .episode_bag import Message, make_episode
from .played_bag import play

SHIPPED = resource("config/policies/franka_pick")


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("bundles"), load_contract("franka_pick"))


@pytest.fixture(scope="module")
def bundle(maker: Maker) -> Path:
    return maker("level", student(maker.contract, gain=1e-6, level=0.05))


def without(topic: str) -> Callable[[list[Message]], None]:
    def change(messages: list[Message]) -> None:
        messages[:] = [m for m in messages if topic not in m.topic]

    return change


def no_ticks(messages: list[Message]) -> None:
    for m in messages:
        if m.topic == "policy/status":
            for entry in m.body.status[0].values:
                if entry.key == "episode_id":
                    object.__setattr__(entry, "value", "another")


def wrong_number(messages: list[Message]) -> None:
    for m in messages:
        if m.topic == "policy/status":
            for entry in m.body.status[0].values:
                if entry.key == "noise_seed":
                    object.__setattr__(entry, "value", "many")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["policy", "run-bag", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("vla-rl: ")
    return captured.err


@pytest.mark.parametrize(
    ("change", "metadata", "said"),
    [
        (without("policy/"), None, "holds no policy/status"),
        (without("franka/joint_states"), None, "holds no joint state before its first tick"),
        (without("gripper"), None, "holds no gripper state"),
        (without("observation/images/scene"), None, "gives no observation"),
        (no_ticks, None, "holds no tick"),
        (wrong_number, None, "not a whole number"),
        (lambda messages: None, {"contract_sha256": "7" * 64}, "recorded with contract 777777"),
        (lambda messages: None, {}, "recorded with contract unknown"),
    ],
)
def test_odd_bags(
    change: Callable[[list[Message]], None],
    metadata: dict[str, str] | None,
    said: str,
    tmp_path: Path,
    maker: Maker,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bag = play(
        tmp_path / "bag", bundle, maker.trusted, 1, ticks=8, change=change, metadata=metadata
    )
    arguments = [str(bundle), str(bag), "--trusted-keys", str(maker.trusted)]
    assert said in refused(arguments, capsys)


def test_a_bag_that_is_cut_or_not_closed(
    tmp_path: Path, maker: Maker, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = play(tmp_path / "bag", bundle, maker.trusted, 1, ticks=8)
    arguments = [str(bundle), str(bag), "--trusted-keys", str(maker.trusted)]
    (bag / "manifest.json").rename(tmp_path / "manifest.json")
    assert "not closed" in refused(arguments, capsys)
    (tmp_path / "manifest.json").rename(bag / "manifest.json")
    (file,) = bag.glob("*.mcap")
    os.truncate(file, file.stat().st_size // 2)
    assert str(bag) in refused(arguments, capsys)


def test_an_arm_that_the_filter_would_not_take_over(
    tmp_path: Path, maker: Maker, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def bend(messages: list[Message]) -> None:
        for m in messages:
            if m.topic == "franka/joint_states":
                m.body.position[5] = 0.6  # the tool no longer points down

    bag = play(tmp_path / "bag", bundle, maker.trusted, 1, ticks=8, change=bend)
    arguments = [str(bundle), str(bag), "--trusted-keys", str(maker.trusted)]
    assert "cannot be armed where its arm began" in refused(arguments, capsys)


def test_bundles_that_must_not_run(
    tmp_path: Path, maker: Maker, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = play(tmp_path / "bag", bundle, maker.trusted, 1, ticks=8)
    keys = ["--trusted-keys", str(maker.trusted)]
    assert "key" in refused([str(bundle), str(bag)], capsys)  # signed, but by nobody trusted
    unsigned = maker("unsigned", student(maker.contract))
    (unsigned / "manifest.sig").unlink()
    assert "manifest.sig" in refused([str(unsigned), str(bag), *keys], capsys)
    assert "manifest.sig" in refused(
        [str(bundle), str(bag), "--against", str(unsigned), *keys], capsys
    )
    other = maker("other-contract", manifest=lambda data: data.update(contract_sha256="1" * 64))
    assert "contract" in refused([str(other), str(bag), *keys], capsys)
    assert "none of config/chunking" in refused(
        [str(bundle), str(bag), "--chunking", "none", *keys], capsys
    )
    assert "none of config/safety" in refused(
        [str(bundle), str(bag), "--safety", "none", *keys], capsys
    )


def test_a_bag_of_another_contract(
    tmp_path: Path, contract: Contract, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = make_episode(3, seconds=0.5).write(tmp_path / "bag")  # of smaller images
    assert "contract" in refused([str(SHIPPED), str(bag)], capsys)
