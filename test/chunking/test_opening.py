"""Only a bundle that is right in everything becomes a strategy that can plan."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from bad_bundles import CASES, ENDLESS, Bad
from bundles import Maker, student

from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.chunking.queue import Request
from vla_rl_nodes.chunking.rehearsal import plan_at_every_delay
from vla_rl_nodes.chunking.strategies.strategy import Job
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.checked_engine import trial

STOPS = [case for case in CASES if case.name != ENDLESS]


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory, contract: Contract) -> Maker:
    return Maker(tmp_path_factory.mktemp("bundles"), contract)


@pytest.fixture(scope="module")
def opener(maker: Maker) -> Opener:
    return Opener(Setup(maker.contract.name, trusted_keys=str(maker.trusted)))


@pytest.mark.parametrize("bad", STOPS, ids=[case.name for case in STOPS])
def test_a_bad_bundle_is_refused_where_it_is_bad(maker: Maker, opener: Opener, bad: Bad) -> None:
    path = bad.make(maker, bad.name)
    if bad.files:
        with pytest.raises(InputError) as caught:
            opener.verify(path)
    else:
        version = opener.verify(path).version
        with pytest.raises(InputError) as caught:
            plan_at_every_delay(opener.setup, path, version)
    line = str(caught.value)
    assert line.startswith(str(path)) and "; " in line and "\n" not in line
    assert bad.said in line
    shutil.rmtree(path, ignore_errors=True)


def test_a_good_bundle_plans_what_its_graph_says(maker: Maker, opener: Opener) -> None:
    bundle = opener.verify(maker("good", student(maker.contract, gain=0.0, level=0.25)))
    strategy = opener.open(bundle)
    observation, prefix = trial(bundle, np.random.default_rng(3))
    job = Job(Request(0, 1, 0, 0, 2, prefix.astype(np.float64)), 0, observation, 7)
    chunk = strategy.plan(job).chunk
    action = maker.contract.action
    assert np.array_equal(chunk[:2], prefix[:2].astype(np.float64))
    assert np.allclose(chunk[2:], 0.25 * action.maximum, rtol=1e-6)


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (Setup("no_such_contract"), "is none of config/contracts"),
        (Setup("franka_pick", "no_such_strategy"), "is none of config/chunking"),
        (Setup("franka_pick", trusted_keys="/nowhere"), "holds no *.pub key"),
    ],
)
def test_a_wrong_setup_is_told_at_once(setup: Setup, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Opener(setup)
    assert said in str(caught.value)
