"""Served chunks through the chunking runtime, with a real server and simulated delays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.runtime import ChunkRuntime
from vla_rl_nodes.chunking.settings import ChunkingSettings, load_chunking
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.engine import RemoteEngine
from vla_rl_nodes.remote.strategy import Served

from .conftest import Clock, MakeEngine
from .server import HttpServer, ShippedPolicy, WebsocketServer

TICK_NS = 50_000_000


@pytest.fixture(scope="module")
def shipped() -> ShippedPolicy:
    return ShippedPolicy()


@pytest.fixture
def server(shipped: ShippedPolicy) -> Iterator[WebsocketServer]:
    with WebsocketServer(shipped.openpi) as running:
        yield running


def settings(name: str, replan_every: int = 4) -> ChunkingSettings:
    return ChunkingSettings.model_validate(
        {"chunking": 1, "strategy": {"name": name}, "replan_every": replan_every}
    )


class Running:
    """A runtime whose answers take some ticks."""

    def __init__(
        self, contract: Contract, chosen: ChunkingSettings, engine: RemoteEngine, delay: int
    ) -> None:
        strategy = Served(chosen, engine)
        self.worker: DelayedWorker[Job, Plan] = DelayedWorker(strategy.plan, lambda n: delay, 50.0)
        self.runtime = ChunkRuntime(contract, chosen, strategy, engine.version, self.worker)
        self.problems: list[str] = []
        self.values: dict[str, str] = {}
        self._ticks = 0

    def ticks(self, count: int, observation: Observation) -> list[Any]:
        """The actions of the next ticks; None where there is none."""
        actions = []
        for _ in range(count):
            self.worker.begin_tick()
            acted = self.runtime.tick(self._ticks * TICK_NS, observation)
            self._ticks += 1
            self.problems += acted.problems
            self.values = acted.values
            actions.append(acted.action)
        return actions


def test_prefix_keeps_what_was_committed(
    contract: Contract, server: WebsocketServer, make_engine: MakeEngine, observation: Observation
) -> None:
    running = Running(contract, load_chunking("prefix"), make_engine("franka_pick_served",
                                                                     server.url), 3)  # fmt: skip
    actions = running.ticks(40, observation)
    assert all(action is None for action in actions[:3])
    assert all(action is not None for action in actions[3:])
    assert running.problems == []
    assert float(running.values["prefix_error"]) < 1e-7
    assert running.values["server_ms"] == "1.000"


@pytest.mark.parametrize("name", ["naive_async", "temporal_ensemble", "sync"])
def test_servers_without_a_prefix_run_under_the_other_strategies(
    name: str, contract: Contract, make_engine: MakeEngine, observation: Observation
) -> None:
    asked: list[int] = []

    def act(message: Any) -> Any:
        asked.append(1)
        return {"actions": np.full((50, 5), 0.001) * np.arange(50)[:, None] / 50}

    with WebsocketServer(act, {}) as plain:
        running = Running(contract, settings(name), make_engine("openpi_pick", plain.url), 2)
        actions = running.ticks(30, observation)
    moved = [action is not None for action in actions]
    assert moved[:2] == [False, False] and moved[2]
    assert len(asked) > 4 and running.problems == []
    # Only sync stands still while it waits.
    assert all(moved[2:]) == (name != "sync")


def test_sync_runs_the_one_step_of_openvla_to_its_end(
    contract: Contract, make_engine: MakeEngine, observation: Observation
) -> None:
    """Four ticks of motion for one step, then a wait of two ticks, over and over."""
    with HttpServer(lambda m: np.array([0.04, 0, 0, 0, 0, 0, 1.0])) as server:
        running = Running(contract, settings("sync"), make_engine("openvla_bridge", server.url), 2)
        actions = running.ticks(18, observation)
    ahead = [0.0 if action is None else round(float(action[0]), 9) for action in actions]
    assert ahead == ([0.0] * 2 + [0.01] * 4) * 3


def test_a_lost_server_stops_the_arm_and_a_new_one_moves_it_again(
    contract: Contract, shipped: ShippedPolicy, make_engine: MakeEngine, observation: Observation,
    clock: Clock,
) -> None:  # fmt: skip
    with WebsocketServer(shipped.openpi) as first:
        engine = make_engine("franka_pick_served", first.url)
        running = Running(contract, load_chunking("prefix"), engine, 1)
        assert running.ticks(12, observation)[-1] is not None
        first.close()
        first.hang_up()
        actions = running.ticks(40, observation)
    # What was planned is finished; then there is no action at all: the filter holds the arm.
    planned = [action is not None for action in actions]
    assert not any(planned[16:])
    assert running.problems and all("cannot be reached" in line for line in running.problems)
    with WebsocketServer(shipped.openpi, port=first.port):
        clock.now += 10.0
        assert running.ticks(4, observation)[-1] is not None


@pytest.mark.parametrize(
    ("name", "chosen", "said"),
    [
        ("openpi_pick", settings("prefix"), "takes no prefix"),
        ("franka_pick_served", settings("best_of_n"), "networks that a server does not give"),
        ("franka_pick_served", settings("guidance"), "networks that a server does not give"),
        ("franka_pick_served", settings("bid"), "networks that a server does not give"),
        ("franka_pick_served", load_chunking("prefix_teacher"), "that a server does not give"),
        ("openvla_bridge", settings("sync", 5), "is 5, but a served chunk fills 4 ticks"),
    ],
)
def test_strategies_that_do_not_fit_are_refused(
    name: str, chosen: ChunkingSettings, said: str, make_engine: MakeEngine
) -> None:
    url = "http://127.0.0.1:1" if "openvla" in name else "ws://127.0.0.1:1"
    with pytest.raises(InputError, match=said):
        Served(chosen, make_engine(name, url))
