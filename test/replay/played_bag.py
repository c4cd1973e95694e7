"""Bags of a policy that really acted: the live classes, with simulated delays instead of threads.

Samples come late, chunks take one to nine ticks (nine is refused), one camera falls silent for a
while, and the policy has acted in an episode before, whose delays it remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bag_messages import EVENT, STORE, VECTOR, T, event, image, vector

from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.chunking.runtime import ChunkRuntime
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.contract.observation import assemble
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import Observer
from vla_rl_nodes.replay.run_bag import ENGINE
from vla_rl_nodes.robots.load import load_robot

from .episode_bag import MS, START_NS, Message

BOOL = "std_msgs/msg/Bool"


def setup_of(trusted: Path, chunking: str = "prefix") -> Setup:
    """What bundles of a ``bundles.Maker`` are opened with."""
    return Setup("franka_pick", chunking, ENGINE, str(trusted))


def play(
    folder: Path,
    bundle: Path,
    trusted: Path,
    seed: int,
    *,
    ticks: int = 50,
    noise_seed: int = 0,
    chunking: str = "prefix",
    change: Callable[[list[Message]], None] = lambda messages: None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Records an episode in which a bundle acts.

    Args:
        folder: of the bag; must not exist.
        bundle: that acts.
        trusted: folder of the key that signed it.
        seed: of samples and delays.
        ticks: how many.
        noise_seed: of the policy node.
        chunking: its strategy.
        change: of the messages before they are written.
        metadata: of the bag, instead of the contract's hash.
    """
    opener = Opener(setup_of(trusted, chunking))
    contract = opener.contract
    opened = opener.verify(bundle)
    rng = np.random.default_rng(seed)
    messages = _samples(contract, rng, ticks)
    delays = rng.choice([1, 1, 1, 2, 2, 3, 4, 9], size=400)
    strategy = opener.open(opened)
    worker: DelayedWorker[Job, Plan] = DelayedWorker(
        strategy.plan, lambda job: int(delays[job]), contract.period_ns / 1e6
    )
    runtime = ChunkRuntime(contract, opener.settings, strategy, opened.version, worker, noise_seed)
    nothing = assemble(
        contract, {s.key: np.zeros(s.shape, dtype=s.dtype) for s in contract.streams}
    )
    for tick in range(25):
        worker.begin_tick()
        runtime.tick(START_NS - 10**10 + tick * contract.period_ns, nothing)
    runtime.start_episode()
    _act(messages, runtime, worker, contract, rng, ticks, opened.version)
    _begin(messages, contract)
    change(messages)
    return _write(folder, messages, contract, metadata)


def _samples(contract: Contract, rng: np.random.Generator, ticks: int) -> list[Message]:
    messages = []
    end = START_NS + ticks * contract.period_ns
    quiet = (START_NS + 30 * contract.period_ns, START_NS + 36 * contract.period_ns)
    for stream in contract.streams:
        period = {"image": 33 * MS, "vector": 10 * MS}[stream.kind]
        for stamp in range(START_NS - 200 * MS, end, period):
            if stream.key == "image_wrist" and quiet[0] <= stamp < quiet[1]:
                continue
            at = stamp + int(rng.integers(0, MS))
            body: Any = (
                image(at, rng.integers(0, 256, size=stream.shape, dtype=np.uint8))
                if stream.kind == "image"
                else vector(at, list(stream.names), rng.normal(scale=0.1, size=len(stream.names)))
            )
            arrival = at + int(rng.exponential(5 * MS))
            messages.append(Message(stream.topic, stream.type, at, arrival, body))
    return sorted(messages, key=lambda m: m.arrival_ns)


def _act(
    messages: list[Message],
    runtime: ChunkRuntime,
    worker: DelayedWorker[Job, Plan],
    contract: Contract,
    rng: np.random.Generator,
    ticks: int,
    version: str,
) -> None:
    observer = Observer(contract)
    keys = {stream.topic: stream.key for stream in contract.streams}
    names = list(contract.action.names)
    arriving = list(messages)
    for number in range(ticks):
        stamp = START_NS + number * contract.period_ns + int(rng.integers(0, MS))
        while arriving and arriving[0].arrival_ns <= stamp:
            m = arriving.pop(0)
            try:
                observer.add(keys[m.topic], m.body, m.stamp_ns, m.arrival_ns)
            except InputError:
                continue
        values = {"tick": str(number), "episode_id": "ep-played"}
        seen = observer.observe(stamp)
        if isinstance(seen, str):
            values["blind"] = seen
        else:
            worker.begin_tick()
            acted = runtime.tick(stamp, seen.observation)
            values |= {f"stamp.{key}": str(at) for key, at in seen.stamps_ns.items()}
            values |= {"observation_sha256": seen.sha256, **acted.values}
            if acted.action is not None:
                for topic, late in (("policy/command", MS), ("safety/executed", 9 * MS)):
                    body = vector(stamp, names, acted.action)
                    messages.append(Message(topic, VECTOR, stamp, stamp + late, body))
        body = event(stamp, "running", values, version)
        messages.append(Message("policy/status", EVENT, stamp, stamp + MS, body))


def _begin(messages: list[Message], contract: Contract) -> None:
    robot = load_robot(contract.robot)
    assert robot.gripper is not None and robot.topics.gripper_joint_states is not None
    before = START_NS - 5 * MS
    joints = vector(before, list(robot.joints), robot.home)
    fingers = vector(before, list(robot.gripper.joints), [0.04, 0.04])
    for topic, body in (
        (robot.topics.joint_states, joints), (robot.topics.gripper_joint_states, fingers),
    ):  # fmt: skip
        messages.append(Message(topic, VECTOR, before, before + MS, body))


def switch(topic: str, at_ns: int, on: bool) -> Message:
    """``intervention/active`` or ``reset/active``."""
    return Message(topic, BOOL, at_ns, at_ns + MS, T[BOOL](on))


def _write(
    folder: Path, messages: list[Message], contract: Contract, metadata: dict[str, str] | None
) -> Path:
    topics = {m.topic: Topic(f"/fr3/{m.topic}", m.type_name) for m in messages}
    known = {"contract_sha256": contract.sha256} if metadata is None else metadata
    with EpisodeWriter(
        folder, "ep-played", list(topics.values()), contract_yaml="", metadata=known,
        start_ns=START_NS,
    ) as writer:  # fmt: skip
        for m in sorted(messages, key=lambda m: m.arrival_ns):
            cdr = bytes(STORE.serialize_cdr(m.body, m.type_name))
            writer.write(topics[m.topic].name, m.type_name, cdr, m.arrival_ns + MS, m.arrival_ns)
        writer.close("success")
    return folder
