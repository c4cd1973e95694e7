"""Runs episodes of the simulated robot through the real graph, then converts their bags."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.bringup import Actor, Processes, Value, graph
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.driver import Driver, EpisodeResult
from vla_rl_nodes.replay.convert import convert_episode
from vla_rl_nodes.resources import resource

# Domains above 101 collide with ephemeral ports on Linux; 0 is everybody's default.
DOMAINS = range(40, 102)

Progress = Callable[[EpisodeResult], None]


@dataclass(frozen=True)
class DemoOptions:
    """What to run.

    Attributes:
        contract: contract name or path; it names the robot.
        episodes: how many, with seeds ``seed``, ``seed + 1``, ...
        blackout: further episodes with the lens caps on, on the same seeds.
        out: a folder for bags, replay and logs; made when it does not exist.
        actor: what acts.
        parameters: further node parameters by executable.
    """

    contract: str
    seed: int
    episodes: int
    blackout: int
    out: Path
    actor: Actor = "policy"
    parameters: dict[str, dict[str, Value]] | None = None


@dataclass(frozen=True)
class DemoRun:
    """The episodes that ran: as they were, and with blacked-out cameras."""

    episodes: list[EpisodeResult]
    blackout: list[EpisodeResult]

    @property
    def bags(self) -> list[Path]:
        """Bags of all recorded episodes."""
        return [r.bag for r in (*self.episodes, *self.blackout) if r.bag is not None]


def isolate() -> None:
    """Keeps the simulated robot away from any real one: localhost and a domain of its own.

    Under Fast DDS, ROS's default, over the loopback interface without shared memory, for the
    reasons that ``config/dds/loopback.xml`` gives. What the user has set of ROS_DOMAIN_ID,
    ROS_AUTOMATIC_DISCOVERY_RANGE and FASTRTPS_DEFAULT_PROFILES_FILE is kept.
    """
    environment = os.environ
    environment.setdefault("ROS_DOMAIN_ID", str(DOMAINS[os.getpid() % len(DOMAINS)]))
    fast = environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") == "rmw_fastrtps_cpp"
    chosen = {"ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"} & set(environment)
    if chosen or not fast:
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    else:
        # Not LOCALHOST: that would switch shared memory on. The profile knows one address.
        environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(resource("config/dds/loopback.xml"))
        environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"


def run_demo(options: DemoOptions, progress: Progress) -> DemoRun:
    """Starts the graph, runs the episodes one after the other, and stops the graph.

    Args:
        options: what to run.
        progress: told each finished episode.

    Raises:
        InputError: a node ended, or did not answer in time; its log is named.
    """
    isolate()
    contract = load_contract(options.contract)
    bags = (options.out / "bags").absolute()
    parameters = {name: dict(values) for name, values in (options.parameters or {}).items()}
    parameters.setdefault("recorder", {})["folder"] = str(bags)
    nodes = graph(options.contract, sim=True, actor=options.actor, parameters=parameters)
    timeout = contract.episode.time_limit_s + 60.0
    episodes: list[EpisodeResult] = []
    blackout: list[EpisodeResult] = []
    with Processes(options.out / "logs") as processes:
        processes.start(nodes, contract.robot)
        with Driver(contract.robot, processes.check) as driver:
            driver.wait_until_up()
            for dark, count, results in (
                (False, options.episodes, episodes),
                (True, options.blackout, blackout),
            ):
                if count:
                    driver.set_parameter("sim_cameras", "blackout", dark)
                for index in range(count):
                    result = driver.run_episode(options.seed + index, timeout)
                    results.append(result)
                    progress(result)
    return DemoRun(episodes, blackout)


def convert_all(bags: list[Path], contract_name: str, out: Path) -> list[str]:
    """Converts the bags to replay folders under ``out/replay``.

    Returns:
        One line for each bag that gives no transitions, such as one that was aborted at once.
    """
    contract, problems = load_contract(contract_name), []
    for bag in bags:
        try:
            convert_episode(bag, contract, out / "replay")
        except InputError as error:
            problems.append(str(error))
    return problems


def fresh_folder(out: Path) -> Path:
    """A folder for a run's output.

    Raises:
        InputError: it is a file, or cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "cannot be made").lower()
        raise InputError(out, reason, "choose another folder") from error
    return out
