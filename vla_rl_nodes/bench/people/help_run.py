"""Runs episodes with a scripted person through the real graph, every node a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.bags.manifest import load_manifest
from vla_rl_nodes.bringup import NodeSpec, Processes, Value, graph
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.driver import Driver, EpisodeResult
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.observe import Unbuilt

DEVICE = "spacemouse"
# What a machine that stands still for a while does to an episode: nobody's fault, so it is run
# again, and counted.
STALLS = (
    "was silent for", "no reset came in time", "did not become ready", "is not alive",
)  # fmt: skip


# Without one of these a bag cannot say what was proposed, asked for and executed.
JUDGED = (
    "policy/command", "policy/status", "intervention/command", "intervention/device",
    "safety/executed",
)  # fmt: skip

MOST_LOST = 0.02  # of an episode's ticks, for want of a sample that the recorder lost


@dataclass(frozen=True)
class HelpPlan:
    """What to run.

    Attributes:
        contract: path of the contract with the time limit.
        bundle: the policy's folder.
        keys: folder of the keys that it may be signed with.
        seed: of the person.
        seeds: of the episodes, in their order.
        out: folder of bags, logs and the person's own record; made when it does not exist.
        repeats: how often an episode that the machine spoilt is run again at most.
        trouble: what becomes of the device in each episode; empty: nothing.
    """

    contract: Path
    bundle: Path
    keys: Path
    seed: int
    seeds: tuple[int, ...]
    out: Path
    repeats: int
    trouble: str = ""

    @property
    def log(self) -> Path:
        """The file in which the person writes what he does."""
        return (self.out / "person.jsonl").absolute()


@dataclass(frozen=True)
class Attempt:
    """One episode that was run: its result, and how the machine spoilt it; empty: not at all."""

    result: EpisodeResult
    spoilt: str = ""


def run_with_help(plan: HelpPlan, progress: Callable[[Attempt], None]) -> list[Attempt]:
    """Starts the graph with a person, runs the episodes one after the other, stops the graph.

    The start states come from the seeds by the simulator's own reset.

    Args:
        plan: what to run.
        progress: told each attempt.

    Raises:
        InputError: a node ended, or did not answer in time; its log is named.
    """
    isolate()
    contract = load_contract(plan.contract)
    attempts: list[Attempt] = []
    with Processes(plan.out / "logs") as processes:
        processes.start(nodes(plan), contract.robot)
        with Driver(contract.robot, processes.check) as driver:
            driver.wait_until_up()
            for seed in plan.seeds:
                for _ in range(1 + plan.repeats):
                    result = driver.run_episode(seed, contract.episode.time_limit_s + 60.0)
                    attempts.append(Attempt(result, spoilt_by(result, contract)))
                    progress(attempts[-1])
                    if not attempts[-1].spoilt:
                        break
    return attempts


def nodes(plan: HelpPlan) -> list[NodeSpec]:
    """The graph with a SpaceMouse, and the person."""
    parameters: dict[str, dict[str, Value]] = {
        "policy": {
            "bundle": str(plan.bundle.absolute()),
            "trusted_keys": str(plan.keys.absolute()),
        },
        "recorder": {"folder": str((plan.out / "bags").absolute())},
        "episode": {"operator": "sim_person", "reset_mode": "simulation"},
    }
    found = graph(str(plan.contract), sim=True, intervention=DEVICE, parameters=parameters)
    person: dict[str, Value] = {
        "contract": str(plan.contract), "device": DEVICE, "seed": plan.seed,
        "log": str(plan.log), "trouble": plan.trouble,
    }  # fmt: skip
    return [*found, NodeSpec("sim_person", person)]


def spoilt_by(result: EpisodeResult, contract: Contract) -> str:
    """What the machine, and neither robot, policy nor person, did to an episode: it stood still
    for too long, or left the recorder too little time for what the bag is judged by.

    Returns:
        In a few words; empty where it did nothing.

    Raises:
        InputError: the bag is damaged.
    """
    if result.outcome == "aborted" and any(part in result.reason for part in STALLS):
        return result.reason
    if result.bag is None:
        return ""
    manifest = load_manifest(result.bag)
    dropped = {} if manifest is None else manifest.dropped
    lost = sum(count for topic, count in dropped.items() if topic.endswith(JUDGED))
    if lost:
        return "the recorder lost messages that count"
    if not any("/observation/" in topic for topic in dropped):
        return ""
    try:
        counts = build_episode(result.bag, contract).header.counts
    except InputError as error:
        return error.problem
    missing = counts[f"dropped_{Unbuilt.NOT_RECORDED.value}"]
    return "the recorder lost observations" if missing > MOST_LOST * counts["ticks"] else ""


def kept(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The last attempt of each seed: the one that counts, be it spoilt or not."""
    last = {attempt.result.seed: attempt for attempt in attempts}
    return list(last.values())
