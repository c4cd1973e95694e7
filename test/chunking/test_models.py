"""All networks of a bundle are opened, and one bad one spoils it."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import Maker, student

from vla_rl_nodes.chunking.models import candidates_of, open_models
from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.chunking.settings import ChunkingSettings, load_chunking
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError


@pytest.fixture
def maker(tmp_path: Path, contract: Contract) -> Maker:
    return Maker(tmp_path, contract)


@pytest.fixture
def opener(maker: Maker) -> Opener:
    return Opener(Setup(maker.contract.name, trusted_keys=str(maker.trusted)))


def test_a_student_alone_has_no_other_networks(maker: Maker, opener: Opener) -> None:
    told: list[str] = []
    bundle = opener.verify(maker("plain", student(maker.contract)))
    models = open_models(bundle, "onnxruntime-cpu", tell=told.append)
    assert models.engine.bundle is bundle
    assert (models.flow, models.critic, models.novelty, models.weak) == (None,) * 4
    assert told == [f"version {bundle.version} runs on onnxruntime-cpu"]


def test_a_weaker_policy_is_opened_beside_it(maker: Maker, opener: Opener) -> None:
    weak = {"weak.onnx": student(maker.contract, gain=0.01)}
    models = open_models(opener.verify(maker("two", student(maker.contract), weak)))
    assert models.weak is not None and models.weak is not models.engine


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("weak.onnx", "weak.onnx: "),
        ("critic.onnx", "critic.onnx: "),
        ("novelty.onnx", "novelty.onnx: "),
        ("context.onnx", "declares no flow"),
        ("field.onnx", "declares no flow"),
    ],
)
def test_a_bad_network_that_is_not_even_used_is_refused(
    maker: Maker, opener: Opener, name: str, said: str
) -> None:
    bundle = opener.verify(maker("bad", student(maker.contract), {name: b"\x08\x08"}))
    with pytest.raises(InputError, match=said):
        open_models(bundle)


def test_an_unknown_engine_is_refused_with_the_known_ones(maker: Maker, opener: Opener) -> None:
    bundle = opener.verify(maker("plain", student(maker.contract)))
    with pytest.raises(InputError, match="'warp' is unknown; give auto or one of"):
        open_models(bundle, "warp")


@pytest.mark.parametrize("name", ["prefix", "best_of_n", "bid", "guidance", "sync"])
def test_one_engine_serves_all_shipped_strategies(name: str) -> None:
    assert candidates_of(load_chunking(name)) == 16


@pytest.mark.parametrize("name", ["best_of_n", "bid"])
def test_more_draws_need_an_engine_for_more(name: str) -> None:
    settings = ChunkingSettings.model_validate(
        {"chunking": 1, "strategy": {"name": name, "samples": 24}, "replan_every": 4}
    )
    assert candidates_of(settings) == 24
