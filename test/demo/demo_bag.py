"""Episode bags whose every figure is known, written the way the recorder writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bag_messages import EVENT, STORE, TRAJECTORY, VECTOR, T, event, image, trajectory, vector
from numpy.typing import NDArray

from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.observation import assemble, digest, sample
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

CONTRACT = load_contract("franka_pick")
ROBOT = load_robot("fr3")
LIMITS = load_limits("franka_pick")
ARRAY = "std_msgs/msg/Float64MultiArray"
MS = 1_000_000
READY_NS = 1_780_000_000_000_000_000
START_NS = READY_NS + 150 * MS
ARM = "fr3_arm_controller/joint_trajectory"
POSITIONS = "forward_position_controller/commands"
JOINT_STATES = "franka/joint_states"
ORDER = [3, 0, 6, 2, 5, 1, 4]  # joints in an order of their own


def smooth(samples: int) -> NDArray[np.float64]:
    """A slow swing from home and back, at rest at both ends [samples, 7]."""
    phase = (1.0 - np.cos(np.linspace(0.0, 2.0 * np.pi, samples))) / 2.0
    swing = np.array([0.12, 0.08, -0.1, 0.15, 0.05, -0.12, 0.3])
    path: NDArray[np.float64] = ROBOT.home + phase[:, None] * swing
    return path


@dataclass
class Message:
    """One message: its relative topic, its type, when it was published, and itself."""

    topic: str
    type_name: str
    publish_ns: int
    body: Any


@dataclass
class DemoBag:
    """One episode; change its fields, then ``write`` it.

    ``commands`` [m, 7] go out every 10 ms from ready on, ``measured`` [k, 7] every 4 ms. As
    trajectories they have ``speeds`` and ``accelerations`` [m, 7], by default those of a smooth
    curve through them, each message the two knots before it, its own, and rest there.
    """

    seed: int = 3
    seconds: float = 1.2
    outcome: str = "success"
    reason: str = "sim/predicate"
    task: str = "pick up the cube"
    contract: Contract = CONTRACT
    commands: NDArray[np.float64] | None = None
    speeds: NDArray[np.float64] | None = None
    accelerations: NDArray[np.float64] | None = None
    measured: NDArray[np.float64] | None = None
    measured_speed: NDArray[np.float64] | None = None
    command_topic: str = ARM
    images: bool = True
    chunked: bool = True
    dark: bool = False
    ticks: list[int] = field(default_factory=list)
    proposed: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))
    executed: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))
    residual: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))
    lateness: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    filter_lateness: list[float] = field(default_factory=list)
    extra: list[Message] = field(default_factory=list)
    drop: Callable[[Message], bool] = lambda message: False

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        count = int(self.seconds * 1000) // 50
        self.ticks = [START_NS + (20 + 50 * i) * MS + int(rng.integers(0, MS))
                      for i in range(count)]  # fmt: skip
        width = self.contract.action.maximum - self.contract.action.minimum
        middle = (self.contract.action.maximum + self.contract.action.minimum) / 2
        self.proposed = middle + 0.3 * width * rng.uniform(-1, 1, size=(count, 5))
        self.residual = np.full((count, 5), np.nan)
        self.residual[count // 2 :] = 0.04 * width * rng.uniform(-1, 1, (count - count // 2, 5))
        self.executed = self.proposed + np.nan_to_num(self.residual)
        self.lateness = rng.gamma(2.0, 0.3, size=count)
        self.rng = rng

    @property
    def episode_id(self) -> str:
        return f"{READY_NS // MS}-{self.seed:08x}"

    @property
    def end_ns(self) -> int:
        return START_NS + round(self.seconds * 1e9)

    def write(self, folder: Path, close: bool = True) -> Path:
        """Records everything to ``folder/<episode id>`` in order of publication."""
        if self.commands is None:
            self.commands = smooth(round((self.seconds + 0.15) * 100))
        if self.measured is None:
            at = np.arange(0.0, len(self.commands), 0.4)
            columns = [np.interp(at, np.arange(len(self.commands)), q) for q in self.commands.T]
            rest = np.repeat(self.commands[-1:], 60, axis=0)
            self.measured = np.vstack([np.stack(columns, axis=1), rest])
        messages = [m for m in self._messages() if not self.drop(m)]
        messages.sort(key=lambda m: m.publish_ns)
        topics = {m.topic: Topic(f"/fr3/{m.topic}", m.type_name) for m in messages}
        known = {
            "seed": str(self.seed), "task": self.task, "robot": "fr3", "namespace": "/fr3",
            "contract_sha256": self.contract.sha256,
        }  # fmt: skip
        path = folder / self.episode_id
        with EpisodeWriter(
            path, self.episode_id, list(topics.values()), contract_yaml="", metadata=known,
            start_ns=READY_NS,
        ) as writer:  # fmt: skip
            for m in messages:
                cdr = bytes(STORE.serialize_cdr(m.body, m.type_name))
                name = topics[m.topic].name
                writer.write(name, m.type_name, cdr, m.publish_ns + MS, m.publish_ns)
            if close:
                writer.close(self.outcome, metadata={"reason": self.reason})  # type: ignore[arg-type]
        return path

    def _messages(self) -> list[Message]:
        return [
            *self._states(), *self._commands(), *self._measured(), *self._policy(),
            *self._filter(), *self.extra,
        ]  # fmt: skip

    def _states(self) -> list[Message]:
        common = {
            "episode_id": self.episode_id, "seed": str(self.seed), "task": self.task,
            "robot": "fr3", "contract_sha256": self.contract.sha256,
        }  # fmt: skip
        return [
            Message("episode/state", EVENT, at, event(at, state, {**common, "reason": reason}))
            for state, at, reason in (
                ("ready", READY_NS, ""), ("running", START_NS, ""),
                (self.outcome, self.end_ns, self.reason),
            )
        ]  # fmt: skip

    def _commands(self) -> list[Message]:
        assert self.commands is not None
        q, v, a = self.commands, self.speeds, self.accelerations
        if v is None:
            v = np.gradient(q, 0.01, axis=0)
            v[[0, -1]] = 0.0
        if a is None:
            a = np.gradient(v, 0.01, axis=0)
        found = []
        for i, row in enumerate(q):
            at = READY_NS + (2 + 10 * i) * MS
            if self.command_topic == ARM:
                rows = [max(i - 2, 0), max(i - 1, 0), i]
                points, speeds, changes = (
                    np.vstack([column[rows], last])[:, ORDER]
                    for column, last in ((q, row), (v, 0.0 * row), (a, 0.0 * row))
                )
                times = [0, 10 * MS, 20 * MS, 200 * MS]
                names = [ROBOT.joints[j] for j in ORDER]
                body = trajectory(at, names, points, speeds, changes, times)
                found.append(Message(ARM, TRAJECTORY, at, body))
            else:
                layout = T["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
                body = T[ARRAY](layout, np.ascontiguousarray(row))
                found.append(Message(POSITIONS, ARRAY, at, body))
        return found

    def _measured(self) -> list[Message]:
        assert self.measured is not None
        speed = self.measured_speed
        if speed is None:
            speed = np.gradient(self.measured, 0.004, axis=0)
        return [
            Message(JOINT_STATES, VECTOR, at, vector(
                at, [ROBOT.joints[j] for j in ORDER], row[ORDER], speeds=speed[i][ORDER]))
            for i, row in enumerate(self.measured)
            for at in (READY_NS + 4 * i * MS,)
        ]  # fmt: skip

    def _policy(self) -> list[Message]:
        found: list[Message] = []
        samples: dict[str, dict[int, Any]] = {}
        for stream in self.contract.streams:
            taken = samples[stream.key] = {}
            if stream.kind == "image" and not self.images:
                continue
            step = 33 if stream.kind == "image" else 10
            for at in range(START_NS - 40 * MS, self.end_ns, step * MS):
                if stream.kind == "image":
                    pixels = self.rng.integers(0, 256, size=stream.shape, dtype=np.uint8)
                    body = image(at, pixels * (not self.dark))
                else:
                    body = vector(at, list(stream.names), self.rng.normal(size=stream.shape))
                taken[at] = sample(stream, body)
                found.append(Message(stream.topic, stream.type, at, body))
        names = list(self.contract.action.names)
        for k, tick in enumerate(self.ticks):
            values = {
                "tick": str(k), "episode_id": self.episode_id, "starved": "0",
                "lateness_ms": f"{self.lateness[k]:.3f}", "skipped_ticks": "7",
            }  # fmt: skip
            chosen = {key: max((s for s in taken if s <= tick), default=None)
                      for key, taken in samples.items()}  # fmt: skip
            if None in chosen.values():
                values["blind"] = "image_scene"
                found.append(Message("policy/status", EVENT, tick, event(tick, "running", values)))
                continue
            built = assemble(self.contract, {key: samples[key][at] for key, at in chosen.items()})
            values["observation_sha256"] = digest(built)
            values |= {f"stamp.{key}": str(at) for key, at in chosen.items()}
            if self.chunked:
                values |= self._chunk_values(k)
                if k % 4 == 0:
                    rows = self.proposed[k : k + 16]
                    rows = np.vstack([rows, np.repeat(rows[-1:], 16 - len(rows), axis=0)])
                    body = trajectory(tick, names, rows)
                    found.append(Message("policy/chunk", TRAJECTORY, tick + 9 * MS, body))
            body = event(tick, "running", values, "v1")
            found.append(Message("policy/status", EVENT, tick + MS, body))
            for topic, rows in (("command", self.proposed), ("residual", self.residual)):
                if np.isfinite(rows[k]).all():
                    body = vector(tick, names, rows[k])
                    found.append(Message(f"policy/{topic}", VECTOR, tick, body))
        return found

    def _chunk_values(self, k: int) -> dict[str, str]:
        """Chunk c was asked for at tick 4c and is used from tick 4c+1 on, with one action of
        delay; the first is used at once."""
        number = max(k - 1, 0) // 4
        delay = 0 if number == 0 else 1
        return {
            "chunk_id": str(number), "chunk_index": str(k - 4 * number), "delay": str(delay),
            "prefix_length": str(delay if number != 2 else 0), "noise_seed": str(100 + number),
            "inference_ms": f"{11.0 + number:.3f}",
        }  # fmt: skip

    def _filter(self) -> list[Message]:
        assert self.commands is not None
        found = [Message("safety/status", EVENT, READY_NS + MS, filter_event(
            READY_NS + MS, "disarmed", 499))]  # fmt: skip
        for i in range(0, len(self.commands), 5):
            at = READY_NS + (2 + 10 * i) * MS
            late = self.filter_lateness[i // 5] if self.filter_lateness else 0.05 + 0.01 * i
            found.append(Message(
                "safety/status", EVENT, at + MS // 2, filter_event(at, "armed", 500 + i, late)
            ))  # fmt: skip
        end = READY_NS + (2 + 10 * len(self.commands)) * MS
        found.append(Message("safety/status", EVENT, end, filter_event(
            end, "disarmed", 500 + len(self.commands))))  # fmt: skip
        names = list(self.contract.action.names)
        for k, tick in enumerate(self.ticks):
            if np.isfinite(self.executed[k]).all():
                body = vector(tick, names, self.executed[k])
                found.append(Message("safety/executed", VECTOR, tick + 6 * MS, body))
        return found


def filter_event(
    stamp_ns: int, state: str, ticks: int, late_ms: float = 0.05, reasons: str = "",
    command_stamp: str = "",
) -> Any:  # fmt: skip
    values = {
        "reasons": reasons, "command_stamp": command_stamp, "lateness_ms": f"{late_ms:.3f}",
        "ticks": str(ticks), "skipped_ticks": str(ticks // 520),
    }  # fmt: skip
    return event(stamp_ns, state, values)
