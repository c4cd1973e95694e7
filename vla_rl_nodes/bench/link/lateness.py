"""Does the control loop notice the link: lateness of ticks while the learner is well or is not."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray

from vla_rl_nodes.bench.link.bags import write_episode
from vla_rl_nodes.bench.link.site import Killable, Site
from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.tick.load import Load, clock
from vla_rl_nodes.bench.tick.measure import percentiles
from vla_rl_nodes.bringup import NodeSpec, Processes, graph
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.nodes.event import from_message
from vla_rl_nodes.nodes.qos import LATCHED, STREAM

# What the learner is like while an episode runs. In the first the bridge itself is stopped.
CONDITIONS = ("no_bridge", "up", "down", "frozen", "slow")
BASE = "no_bridge"
_TOPICS = {"policy": "policy/status", "filter": "safety/status"}
_SENT_BYTES_PER_S = 3_000_000  # as over a good wireless link
_SLOW_BYTES_PER_S = 50_000
_EPISODE_S = 9.0  # of sending, with what lies around an episode
_BAG_BYTES = 8_000_000
_PATIENCE_S = 60.0
_LEARNER_NICE = 19  # it stands elsewhere; here it must not take a core from the robot

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LatenessOptions:
    """What to run.

    Attributes:
        seed: of the episodes, of the order and of the bags.
        rounds: each runs one episode under every condition.
        contract: with a shipped policy.
        logs: folder that keeps the nodes' logs, or None.
    """

    seed: int
    rounds: int
    contract: str = "franka_pick"
    logs: Path | None = None


@dataclass
class _Heard:
    """Lateness in milliseconds of the ticks of one node, by condition and round."""

    values: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    now: tuple[str, int] | None = None

    def add(self, value: float) -> None:
        if self.now is not None:
            self.values.setdefault(self.now, []).append(value)

    def of(self, condition: str) -> list[float]:
        return [v for key, values in self.values.items() if key[0] == condition for v in values]


def run_lateness(options: LatenessOptions, progress: Progress) -> dict[str, object]:
    """Episodes of the simulated graph, the conditions in turn, in an order drawn from the seed.

    ``policy`` is the lateness of every control tick; ``filter`` the worst of the filter's ticks
    between two of its reports.

    Raises:
        InputError: a node ended, or an episode did not.
    """
    isolate()
    contract = load_contract(options.contract)
    patience_s = contract.episode.time_limit_s + _PATIENCE_S
    heard = {name: _Heard() for name in _TOPICS}
    sent: dict[str, int] = dict.fromkeys(CONDITIONS, 0)
    with tempfile.TemporaryDirectory(prefix="link_lateness_") as name:
        folder = Path(name)
        robot = {
            "upload": {
                "bytes_per_s": _SENT_BYTES_PER_S, "scan_s": 0.5, "patience_s": 2.0, "retry_s": 2.0,
            },
            "disk": {"keep_bytes": 0},
        }  # fmt: skip
        with Site(folder, [contract.robot], options.contract, robot) as site:
            _fill(site.bags[0], contract.robot, options)
            _start_learner(site.learner)
            nodes = graph(
                options.contract, sim=True,
                parameters={"recorder": {"folder": str(folder / "recorded")}},
            )  # fmt: skip
            bridge = NodeSpec("replay_bridge", {"settings": str(site.settings_of(0))})
            with Processes(options.logs or folder / "logs") as processes:
                processes.start([*nodes, bridge], contract.robot)
                with Driver(contract.robot, processes.check) as driver:
                    _listen(driver, heard)
                    up: list[bool] = []
                    driver.node.create_subscription(
                        DiagnosticArray, "replay_bridge/status", lambda _: up.append(True), LATCHED
                    )
                    driver.wait_until_up()
                    driver.wait(lambda: up, _PATIENCE_S, "replay_bridge/status")
                    load = Load.now()
                    for number, condition in schedule(options):
                        progress(f"round {number + 1}: {condition}")
                        pid = processes.pid("replay_bridge")
                        before = site.proxies[0].to_learner
                        with _made(condition, site, pid):
                            for of in heard.values():
                                of.now = (condition, number)
                            result = driver.run_episode(options.seed * 1000 + number, patience_s)
                            for of in heard.values():
                                of.now = None
                        sent[condition] += site.proxies[0].to_learner - before
                        if result.bag is not None:
                            shutil.rmtree(result.bag)
                    busy = Load.now().since(load)
    return {
        "conditions": {
            condition: {
                "sent_bytes": sent[condition],
                **{name: _figures(of, condition) for name, of in heard.items()},
            }
            for condition in CONDITIONS
        },
        "rounds": options.rounds,
        "seed": options.seed,
        "contract": options.contract,
        "sent_bytes_per_s": _SENT_BYTES_PER_S,
        "machine": machine(),
        "clock": clock(),
        "load": busy,
    }


def schedule(options: LatenessOptions) -> list[tuple[int, str]]:
    """Round and condition of every episode."""
    generator = np.random.default_rng([options.seed, 9])
    return [
        (number, CONDITIONS[index])
        for number in range(options.rounds)
        for index in generator.permutation(len(CONDITIONS))
    ]


def _figures(heard: _Heard, condition: str) -> dict[str, object]:
    """Percentiles, their ratio to those without a bridge, and how much they vary by round."""
    values = np.array(heard.of(condition))
    base = np.array(heard.of(BASE))
    by_round = [
        float(np.percentile(of, 99)) for key, of in sorted(heard.values.items())
        if key[0] == condition and of
    ]  # fmt: skip
    figures: dict[str, object] = {"ticks": len(values), **percentiles("lateness", values)}
    for part in (50, 99):
        both = len(values) and len(base)
        ratio = np.percentile(values, part) / np.percentile(base, part) if both else np.nan
        figures[f"p{part}_ratio"] = round(float(ratio), 3) if np.isfinite(ratio) else None
    figures["p99_ms_by_round"] = [round(value, 4) for value in by_round]
    return figures


def _fill(bags: Path, robot: str, options: LatenessOptions) -> None:
    """Enough to send, so that the bridge never runs dry."""
    wanted = options.rounds * _EPISODE_S * _SENT_BYTES_PER_S * 1.5
    for number in range(int(wanted / _BAG_BYTES) + 2):
        seed = options.seed * 1000 + number
        write_episode(bags, f"noise-{number:04d}", robot, options.contract, _BAG_BYTES, seed)


def _start_learner(learner: Killable) -> None:
    learner.start()
    os.setpriority(os.PRIO_PROCESS, learner.pid, _LEARNER_NICE)
    learner.wait_until_up()


def _listen(driver: Driver, heard: dict[str, _Heard]) -> None:
    complaints = Complaints(driver.node.get_logger())
    for name, topic in _TOPICS.items():

        def hear(message: DiagnosticArray, name: str = name, topic: str = topic) -> None:
            event = from_message(message, topic, complaints)
            if event is not None and "lateness_ms" in event.values:
                heard[name].add(float(event.values["lateness_ms"]))

        driver.node.create_subscription(DiagnosticArray, topic, hear, STREAM)


@contextmanager
def _made(condition: str, site: Site, bridge: int) -> Iterator[None]:
    """The learner as a condition has it, and well again afterwards."""
    if condition == BASE:
        os.kill(bridge, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(bridge, signal.SIGCONT)
    elif condition == "down":
        site.learner.kill()
        site.proxies[0].cut()
        try:
            yield
        finally:
            _start_learner(site.learner)
    elif condition == "frozen":
        site.learner.freeze(True)
        try:
            yield
        finally:
            site.learner.freeze(False)
    elif condition == "slow":
        site.proxies[0].throttle(_SLOW_BYTES_PER_S)
        try:
            yield
        finally:
            site.proxies[0].throttle(0)
    else:
        yield
