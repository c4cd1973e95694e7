"""Closed loop without ROS: the physics, cameras, observations and safety filter of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.contract.observation import assemble
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.contract.transforms import transform_image
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.proprio import GripperState, quantities, state_vector
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.filter import Executed, Instant, SafetyFilter, Source
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.stop import Plan
from vla_rl_nodes.sim.actors import Actor, Decision, Seen
from vla_rl_nodes.sim.cameras import CameraRenderer
from vla_rl_nodes.sim.model import TIMESTEP_S
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.streams import DelayedStream, Timer
from vla_rl_nodes.sim.task import LiftPredicate, TaskStatus
from vla_rl_nodes.sim.world import World

# The graph's rates and latencies, nanoseconds. A physics step is the grid of time.
GRID_NS = round(TIMESTEP_S * 1e9)
JOINT_STATES_NS = 4_000_000
GRIPPER_NS = 20_000_000
STATE_NS = 10_000_000
REFERENCE_NS = 50_000_000
REWARD_NS = 20_000_000
CAMERA_NS = 1e9 / 30.0
IMAGE_LATENCY_NS = 8_000_000  # rendering, transport, crop and resize
VECTOR_LATENCY_NS = 2_000_000
START_NS = 1_000_000_000
WARM_UP_NS = 100_000_000  # from arming to the first tick: by then every stream has spoken
PRIVILEGED_AGE_NS = 200_000_000


@dataclass(frozen=True)
class TickRecord:
    """One control tick: what was seen, decided and executed (None: nothing), and the reward."""

    seen: Seen
    decision: Decision | None
    executed: Executed | None
    reward: float


@dataclass(frozen=True)
class Episode:
    """A rollout: its ticks, what was seen after the last of them, and how it ended."""

    seed: int
    ticks: tuple[TickRecord, ...]
    last: Seen
    success: bool
    seconds: float


class Rollout(Closable):
    """Episodes of a contract's task in simulated time, without ROS and faster than real time.

    The same filter, kinematics, observation assembly and image transforms run as in the graph, at
    its rates and with its latencies; the phases between its clocks are drawn from the seed, since
    between processes they are arbitrary. The same seed and actor give the same bytes.

    Args:
        contract: of the task; it names the robot, the safety limits and the scene.
        cameras: False leaves the images black and saves their rendering, for actors that do not
            look.

    Raises:
        InputError: the contract names what is not there, or its scene has no task.
    """

    def __init__(self, contract: Contract, *, cameras: bool = True) -> None:
        self.contract = contract
        self.robot = load_robot(contract.robot)
        self.scene = load_scene(contract.name)
        if self.scene.task is None or self.robot.gripper is None:
            place = f"scene {self.scene.name}"
            raise InputError(place, "has no task for a gripper", "use a scene that has")
        self.task = self.scene.task
        self.world = World(self.robot, self.scene)
        self.kinematics = Kinematics(self.robot)
        self.limits = load_limits(contract.name)
        self.renderer = CameraRenderer(self.robot, self.scene)
        self.renderer.blackout = not cameras
        self.state_names = tuple(quantities(self.robot, gripper=True, wrench=False))
        self.camera_of = {f"cameras/{name}/image_raw": name for name in self.renderer.names}
        for stream in contract.streams:
            if stream.source is not None and stream.source.topic not in self.camera_of:
                raise InputError(
                    f"contract {contract.name}: {stream.key}",
                    f"scene {self.scene.name} has no camera for {stream.source.topic}",
                    f"use one of {', '.join(self.camera_of)}",
                )

    def run(self, seed: int, actor: Actor) -> Episode:
        """One episode, to success or to the contract's time limit.

        Raises:
            InputError: the filter refuses to be armed, or a stream has no sample young enough at
                a tick: the contract's ages do not fit the graph's rates.
        """
        actor.start(seed)
        return _Loop(self, seed).run(actor)

    def close(self) -> None:
        """Frees the renderer."""
        self.renderer.close()


class _Loop:
    """One episode under way: what the graph's nodes do, one physics step after another."""

    def __init__(self, rollout: Rollout, seed: int) -> None:
        self._rollout, self._seed = rollout, seed
        self._world, self._contract = rollout.world, rollout.contract
        self._world.reset(seed)
        task = rollout.task
        resting = float(self._world.object_pose(task.object)[0][2])
        self._predicate = LiftPredicate(f"{task.object}_z", resting, task.lift_m, task.hold_s)
        self._status = TaskStatus(False, 0.0, 0.0)
        self._filter = SafetyFilter(
            rollout.robot, rollout.kinematics, self._contract, rollout.limits
        )
        self._executed: dict[int, Executed] = {}
        self._streams = {stream.key: DelayedStream() for stream in self._contract.streams}
        self._privileged = DelayedStream()
        self._gripper = GripperState(self._world.gripper_width, 0.0)
        rng = np.random.default_rng([seed, 0x70C5])
        filter_ns = round(1e9 / self._contract.rates.filter_hz)
        self._filter_s = filter_ns / 1e9
        self._knot: Plan | None = None  # the one commanded last
        self._resting = False

        def timer(period_ns: float) -> Timer:
            phase = int(rng.integers(0, int(period_ns) // GRID_NS)) * GRID_NS
            return Timer(period_ns, START_NS + phase)

        self._joint_states = Timer(JOINT_STATES_NS, START_NS)
        self._gripper_states, self._proprio = timer(GRIPPER_NS), timer(STATE_NS)
        self._camera, self._filter_ticks = timer(CAMERA_NS), timer(filter_ns)
        self._reference, self._rewards = timer(REFERENCE_NS), timer(REWARD_NS)
        self._now = START_NS
        self._measured = self._now, self._world.joint_positions
        self._hear_joint_states()
        self._hear_wrench()
        self._filter.arm(self._instant, self._world.joint_positions, self._world.gripper_width)

    @property
    def _instant(self) -> Instant:
        """Now; both clocks show the simulated time."""
        return Instant(self._now, self._now)

    def run(self, actor: Actor) -> Episode:
        contract = self._contract
        limit = round(contract.episode.time_limit_s * contract.policy_hz)
        self._advance_to(START_NS + WARM_UP_NS)
        seen = self._see()
        records: list[tuple[Seen, Decision | None, float]] = []
        while len(records) < limit and not self._status.success:
            decision = actor.decide(len(records), seen)
            if decision is not None:
                self._send(seen.stamp_ns, decision)
            self._advance_to(self._now + contract.period_ns)
            records.append((seen, decision, self._status.reward))
            seen = self._see()
        return Episode(
            seed=self._seed,
            ticks=tuple(
                TickRecord(seen, decision, self._executed.get(seen.stamp_ns), reward)
                for seen, decision, reward in records
            ),
            last=seen,
            success=self._status.success,
            seconds=len(records) / contract.policy_hz,
        )

    def _send(self, stamp_ns: int, decision: Decision) -> None:
        names = self._contract.action.names
        if decision.residual is not None:
            self._filter.residual(stamp_ns, self._instant, names, list(decision.residual))
        self._filter.command(Source.POLICY, stamp_ns, self._instant, names, list(decision.action))

    def _advance_to(self, end_ns: int) -> None:
        while self._now < end_ns:
            self._world.step()
            self._now += GRID_NS
            self._publish()
            if self._filter_ticks.due(self._now):
                self._tick_filter()

    def _publish(self) -> None:
        now, world = self._now, self._world
        if self._joint_states.due(now):
            self._measured = now, world.joint_positions
        if self._gripper_states.due(now):
            self._gripper = GripperState(world.gripper_width, world.gripper_speed)
            self._hear_wrench()
        if self._proprio.due(now):
            numbers = state_vector(
                self._rollout.kinematics,
                world.joint_positions,
                world.joint_velocities,
                self._gripper,
                None,
            )
            named = dict(zip(self._rollout.state_names, numbers, strict=True))
            self._add_vector("observation/state", named)
        if self._camera.due(now):
            self._capture()
        if self._rewards.due(now):
            self._status = self._predicate.observe(world.time_s, *world.named_state())

    def _hear_joint_states(self) -> None:
        """Of all joint states between two of its ticks the filter looks at the newest alone."""
        stamp, positions = self._measured
        self._heard_ns = stamp
        arrival = Instant(stamp, stamp)
        self._filter.measured(stamp, arrival, self._rollout.robot.joints, positions.tolist())

    def _hear_wrench(self) -> None:
        if self._rollout.limits.wrench is not None:  # else nobody looks at it
            wrench = self._world.external_wrench().tolist()
            self._filter.wrench(self._now, self._instant, wrench[:3], wrench[3:])

    def _capture(self) -> None:
        renderer, (names, values) = self._rollout.renderer, self._world.named_state()
        privileged = dict(zip(names, values.tolist(), strict=True))
        self._privileged.add(self._now, self._now + VECTOR_LATENCY_NS, privileged)
        renderer.set_state(names, values)
        for stream in self._contract.streams:
            if stream.source is not None:
                camera = self._rollout.camera_of[stream.source.topic]
                image = transform_image(stream, renderer.render(camera))
                self._streams[stream.key].add(self._now, self._now + IMAGE_LATENCY_NS, image)

    def _tick_filter(self) -> None:
        if self._measured[0] > self._heard_ns:
            self._hear_joint_states()
        names = self._filter.reference_names
        output = self._filter.tick(self._instant)
        if output.plan is not None:
            self._command(output.plan)
        if output.gripper_width is not None:
            self._world.command_gripper(output.gripper_width)
        if output.executed is not None:
            self._executed[output.executed.stamp_ns] = output.executed
        # Taken whether it is wanted or not: the timer must not fall behind.
        periodic = self._reference.due(self._now)
        if output.reference is not None and (periodic or output.executed is not None):
            self._add_vector("safety/reference", dict(zip(names, output.reference, strict=True)))

    def _command(self, plan: Plan) -> None:
        """Hands a plan to the controller as the graph does: its first knot is due two periods
        after the tick, and the way there is what is under way already."""
        first = Plan(*(rows[:1] for rows in plan))
        last = first if self._knot is None else self._knot
        self._knot = first
        still = not (last.v.any() or plan.v.any())
        if still and self._resting:
            return  # the controller stays there for ever
        self._resting = still
        times = np.arange(1.0, len(plan.q) + 2) * self._filter_s
        q, v, a = map(np.concatenate, zip(last, plan, strict=True))
        self._world.command_trajectory(times, q, v, a)

    def _add_vector(self, topic: str, named: Mapping[str, float]) -> None:
        for stream in self._contract.streams:
            if stream.topic == topic:
                numbers: NDArray[np.float32] = np.array(
                    [named[name] for name in stream.names], dtype=np.float32
                )
                self._streams[stream.key].add(self._now, self._now + VECTOR_LATENCY_NS, numbers)

    def _see(self) -> Seen:
        chosen = {
            stream.key: self._streams[stream.key].newest(self._now, stream.max_age_ns)
            for stream in self._contract.streams
        }
        observation = assemble(
            self._contract, {key: value for key, value in chosen.items() if value is not None}
        )
        privileged = self._privileged.newest(self._now, PRIVILEGED_AGE_NS)
        return Seen(self._now, observation, privileged)
