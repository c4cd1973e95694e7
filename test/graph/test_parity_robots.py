"""What a bag gives is, to the last bit, what was live: on an arm with a hand, another arm, a dog.

The real nodes run as processes; a process of its own writes down what the topics carry, and what
the bag converts to is compared with that, byte by byte.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import Maker, student
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bringup import NodeSpec, Value
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.driver import EpisodeResult
from vla_rl_nodes.nodes.qos import COMMAND_OFFERED, STREAM
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.replay.convert import convert_episode
from vla_rl_nodes.replay.episode import EpisodeData, load_episode

from .parity_truth import Heard
from .running import Graph, some

pytestmark = pytest.mark.graph

HERE = Path(__file__).parent
TAKEOVERS, TICKS = 2, 5
# A reader that was starved of the processor for a moment loses packets. It is sent the last
# messages of an episode again with its writers' next heartbeat, which is due every 3 s.
HEARTBEAT_S = 3.5
# A machine that stalls must not end the episode.
PATIENT: dict[str, Value] = {
    "command_timeout_s": 1.0, "stop_after_s": 3.0, "joint_state_timeout_s": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One robot, how it is simulated, and how its episode ends."""

    contract: str
    nodes: tuple[str, ...]
    scene: str = ""
    safety: str = ""
    controller: str = "joint_trajectory"
    end: str = "timeout"


ALL = ("camera_ingest", "safety_filter", "episode", "reset", "recorder", "policy")
CASES = {
    "fr3": Case("franka_pick", ("sim_robot", "sim_cameras", "proprio_ingest", *ALL),
                end="success"),
    "ur5e": Case(str(HERE / "contracts/ur5e_reach.yaml"), ("sim_robot", "proprio_ingest", *ALL),
                 "table", "ur5e", end="failure"),
    "go2": Case(str(HERE / "contracts/go2_sway.yaml"), ("sim_robot", *ALL),
                "floor", "go2", "forward_position"),
}  # fmt: skip


class Person:
    """Takes over now and then, and acts at the policy's ticks, with their stamps.

    Attributes:
        sent: values by stamp.
        by_others: stamps that were executed and not the person's.
    """

    def __init__(self, running: Graph, contract: Contract) -> None:
        self._running, self._action = running, contract.action
        self.sent: dict[int, list[float]] = {}
        self.by_others: list[int] = []
        self._acts, self._episode_id = False, ""
        node = running.driver.node
        self._command = node.create_publisher(JointState, "intervention/command", COMMAND_OFFERED)
        self._active = node.create_publisher(Bool, "intervention/active", STREAM)
        node.create_subscription(JointState, "policy/command", self._tick, STREAM)
        node.create_subscription(JointState, "safety/executed", self._executed, STREAM)

    def wait_for_listeners(self) -> None:
        """Filter, recorder and the listening process for the commands, the first two for who."""
        self._running.wait(
            lambda: self._command.get_subscription_count() >= 3
            and self._active.get_subscription_count() >= 2,
            30.0, "the person's listeners",
        )  # fmt: skip

    def _tick(self, message: JointState) -> None:
        if not self._acts:
            return
        low, high, count = self._action.minimum, self._action.maximum, len(self.sent)
        share = [0.3 * sin(count + axis) for axis in range(len(low))]
        values = [(a + b) / 2 + (b - a) / 2 * s for a, b, s in zip(low, high, share, strict=True)]
        stamp = stamp_ns(message)
        self._command.publish(vector_message(stamp, self._action.names, values))
        self.sent[stamp] = values

    def _executed(self, message: JointState) -> None:
        stamp = stamp_ns(message)
        if stamp not in self.sent:
            self.by_others.append(stamp)

    def begin(self) -> str:
        """Starts an episode in which the person has done nothing yet; its id once it runs."""
        self.sent.clear()
        try:
            episode_id = self._running.driver.start_episode(1)
        except InputError:
            # Two processes may have found each other one way only: then the answer was lost.
            episode_id = self._running.driver.start_episode(1)
        running = partial(is_in, self._running, episode_id, "ready", "resetting", "")
        self._running.wait(lambda: not running(), 20.0, "a running episode")
        self._episode_id = episode_id
        self.by_others.clear()
        return episode_id

    def let_the_policy_act(self, count: int) -> None:
        """Waits until it did so often since the person's last action."""
        last = max(self.sent, default=0)
        self._wait(lambda: sum(stamp > last for stamp in self.by_others) >= count, "the policy")

    def take_over(self, ticks: int) -> None:
        """For at least so many control ticks."""
        before = len(self.sent)
        self._active.publish(Bool(data=True))
        self._acts = True
        try:
            self._wait(lambda: len(self.sent) >= before + ticks, "the person's ticks")
        finally:
            self._acts = False
            self._active.publish(Bool(data=False))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """While the episode runs: one that ended early is told at once."""

        def there() -> bool:
            if not is_in(self._running, self._episode_id, "running"):
                raise InputError(self._episode_id, "ended early", "play another one")
            return condition()

        self._running.wait(there, 10.0, what)


@contextmanager
def beside(running: Graph, script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the test's own, ended by closing its standard input, or by a signal."""
    log = running.folder / "logs" / f"{script}.log"
    with log.open("w") as errors, subprocess.Popen(
        [sys.executable, str(HERE / f"{script}.py"), *arguments], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def topics(contract: Contract) -> dict[str, tuple[str, bool]]:
    """What is listened to, with types, and whether it speaks before an episode does."""
    streams = {
        s.topic: ("Image" if s.kind == "image" else "JointState", s.topic != "safety/reference")
        for s in contract.streams
    }
    return streams | {
        "reward": ("JointState", True),
        "policy/command": ("JointState", False),
        "policy/residual": ("JointState", False),
        "intervention/command": ("JointState", False),
        "safety/executed": ("JointState", False),
        "policy/chunk": ("JointTrajectory", False),
        "sim/state": ("JointState", True),
        "policy/status": ("DiagnosticArray", False),
        "safety/status": ("DiagnosticArray", True),
        "episode/state": ("DiagnosticArray", True),
    }


def specs(case: Case, contract: Contract, folder: Path) -> list[NodeSpec]:
    """The nodes of a robot's graph."""
    maker = Maker(folder / "bundles", contract)
    bundle = maker("noise", student(contract, gain=0.002))
    further: dict[str, dict[str, Value]] = {
        "sim_robot": {"scene": case.scene},
        "safety_filter": {**PATIENT, "safety": case.safety, "controller": case.controller},
        "reset": {"mode": "simulation", "limits": case.safety},
        "recorder": {"folder": str(folder / "bags"), "after_s": HEARTBEAT_S},
        "policy": {"bundle": str(bundle), "trusted_keys": str(maker.trusted)},
    }
    return [
        NodeSpec(name, {"contract": case.contract, **further.get(name, {})}) for name in case.nodes
    ]


def play(running: Graph, person: Person, end: str) -> EpisodeResult:
    """An episode with two take-overs. One that a stalled machine ended early is played again."""
    node, driver = running.driver.node, running.driver
    services = {name: node.create_client(Trigger, f"episode/{name}") for name in
                ("success", "failure")}  # fmt: skip
    running.wait(lambda: driver.event("safety/status"), 30.0, "the filter")
    for _ in range(3):
        episode_id, played = person.begin(), False
        try:
            for _ in range(TAKEOVERS):
                person.let_the_policy_act(3)
                person.take_over(TICKS)
            person.let_the_policy_act(3)
            played = True
            if end in services:
                running.wait(services[end].service_is_ready, 5.0, end)
                services[end].call_async(Trigger.Request())
        except InputError as error:
            print(f"{episode_id}: {error}")
            driver.abort()
        result = driver.finish(episode_id, 1, 20.0)
        if played and result.outcome == end:
            return result
    raise AssertionError(f"no episode could be played: {result.outcome}: {result.reason}")


def is_in(running: Graph, episode_id: str, *states: str) -> bool:
    """Whether an episode is in one of these states."""
    return running.driver.state(episode_id) in states


@pytest.mark.parametrize("name", CASES)
def test_a_bag_gives_what_was_live_to_the_last_bit(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    contract = load_contract(case.contract)
    log = tmp_path / "heard.jsonl"
    with ExitStack() as stack:
        running = stack.enter_context(some(tmp_path, specs(case, contract, tmp_path), name))
        person = Person(running, contract)
        stack.enter_context(beside(running, "parity_publisher", name, case.contract))
        listener = stack.enter_context(
            beside(running, "parity_listener", name, str(log), json.dumps(topics(contract)))
        )
        assert listener.stdout is not None and listener.stdin is not None
        assert listener.stdout.readline() == "ready\n", running.log("parity_listener")
        person.wait_for_listeners()
        for _ in range(3):
            result = play(running, person, case.end)
            assert result.bag is not None
            folder = convert_episode(result.bag, contract, tmp_path / "replay")
            data = load_episode(folder)
            lost = lost_on_the_way(running, log, result, contract, data)
            if not lost:
                break
            print(f"{result.episode_id}: {lost}")
        assert not lost, "what only the bag or only the listener has, three times"
        listener.stdin.close()
        assert listener.wait(20.0) == 0
    heard = Heard(log, contract, result.episode_id)
    compare(data.transitions.arrays(), heard.truth())
    assert (data.header.robot, data.header.task) == (name, contract.task)
    check_what_was_played(data, person, case)


def lost_on_the_way(
    running: Graph, log: Path, result: EpisodeResult, contract: Contract, data: EpisodeData
) -> dict[str, str]:
    """What only one of recorder and listener has of the episode's time, by topic.

    A process that a busy machine leaves without the processor loses messages, each its own. That
    is no matter of conversion: the episode is played again.
    """
    assert result.bag is not None
    bag, namespace = EpisodeReader(result.bag), running.driver.node.get_namespace()
    oldest = max(stream.max_age_ns for stream in contract.streams)
    begin, end = int(data.transitions.stamp_ns[0]) - oldest, int(data.transitions.stamp_ns[-1])
    recorded: dict[str, set[int]] = {}
    for topic in topics(contract):
        full = f"{namespace}/{topic}"
        messages = bag.messages(full) if full in bag.topics else ()
        recorded[topic] = {s for s in (stamp_ns(m.message) for m in messages) if begin <= s <= end}

    def unequal() -> dict[str, str]:
        heard = Heard(log, contract, result.episode_id)
        sets = {
            topic: {e["stamp"] for e in heard.on(topic) if begin <= e["stamp"] <= end}
            for topic in recorded
        }
        return {
            topic: f"{len(sets[topic] - stamps)} not in the bag, {len(stamps - sets[topic])} not"
            " heard"
            for topic, stamps in recorded.items()
            if sets[topic] != stamps
        }

    with suppress(InputError):
        running.wait(lambda: not unequal(), HEARTBEAT_S, "the listener")
    return unequal()


def compare(arrays: dict[str, np.ndarray], truth: dict[str, Any]) -> None:
    """Type, shape and every byte."""
    assert set(truth) == set(arrays)
    for key, expected in truth.items():
        array = arrays[key]
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape), key
        assert array.tobytes() == expected.tobytes(), key


def check_what_was_played(data: EpisodeData, person: Person, case: Case) -> None:
    """The scenario must really hold what the comparison is about."""
    steps, header = data.transitions, data.header
    assert header.outcome == case.end and header.counts["dropped_last"] == 0
    rows = {int(stamp): row for row, stamp in enumerate(steps.stamp_ns[:-1])}
    acted = [stamp for stamp in person.sent if stamp in rows]
    assert len(acted) >= TAKEOVERS * TICKS - 1
    for stamp in acted:
        sent = np.array(person.sent[stamp], dtype=np.float32)
        assert steps.action_intervention[rows[stamp]].tobytes() == sent.tobytes()
    assert header.interventions == steps.intervention_start.sum() == TAKEOVERS
    assert steps.intervened.sum() == len(acted)
    executed = ~np.isnan(steps.action_executed).any(axis=1)
    assert (executed & steps.intervened).sum() >= TAKEOVERS * (TICKS - 2)
    assert (executed & ~steps.intervened).sum() >= 6
    assert len(np.unique(steps.action_proposed, axis=0)) > 8
    assert len(np.unique(steps.reward)) > 5 and "test/noise" in header.reward_sources
    for key, rows_of in steps.observations.items():
        assert len({row.tobytes() for row in rows_of}) > 3, key
    assert bool(steps.terminated[-1]) == (case.end != "timeout")
