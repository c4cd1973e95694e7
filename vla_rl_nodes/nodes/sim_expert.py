"""sim_expert: demonstrations in simulation, by the scripted expert in the policy's place."""

from __future__ import annotations

import sys
import threading

import numpy as np
from sensor_msgs.msg import JointState

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import AlignedObservation
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.step_node import Step, StepNode
from vla_rl_nodes.sim.expert import Expert, ExpertState
from vla_rl_nodes.sim.perturbation import Perturbation

CUBE = ("cube_x", "cube_y", "cube_z", "cube_qw", "cube_qx", "cube_qy", "cube_qz")


class SimExpert(StepNode):
    """Publishes what the policy publishes: its clean plan as chunk and command, and the
    disturbance, from which the data get their variety, as a residual within the filter's bound.

    It alone looks at ``sim/state``; the recorded observations are the policy's.
    """

    def __init__(self) -> None:
        super().__init__("sim_expert")
        self._perturbed = parameters.flag(self, "perturbed", True, "Disturb the demonstrations.")
        self._expert = Expert()
        self._perturbation: Perturbation | None = None
        self._steps = 0
        self._cube_lock = threading.Lock()
        self._cube: tuple[int, np.ndarray[tuple[int], np.dtype[np.float64]]] | None = None
        self.create_subscription(JointState, "sim/state", self._hear_cube, STREAM)
        self.start()

    @property
    def version(self) -> str:
        """The expert's name."""
        return "sim_expert"

    def _hear_cube(self, message: JointState) -> None:
        try:
            values = named_vector(message, CUBE, "sim/state")
        except InputError as error:
            self.complaints.say(error)
            return
        with self._cube_lock:
            self._cube = (stamp_ns(message), values)

    def start_episode(self, episode_id: str) -> None:
        """A new disturbance for each episode, seeded by the episode's seed."""
        self._steps = 0
        ticks = round(self.contract.episode.time_limit_s * self.contract.policy_hz)
        seed = self.episode_seed
        self._perturbation = Perturbation(seed, ticks) if self._perturbed and seed >= 0 else None

    def step(self, stamp: int, seen: AlignedObservation) -> Step:
        """The clean plan from the present state, and this tick's disturbance."""
        with self._cube_lock:
            cube = self._cube
        if cube is None or stamp - cube[0] > 200_000_000:
            self.complaints.say("sim/state: has been silent, so the expert waits; check sim_robot")
            return Step(None)
        streams = {stream.key: stream for stream in self.contract.streams}
        state = dict(zip(streams["state"].names, seen.observation["state"], strict=True))
        reference = seen.observation["reference"].astype(np.float64)
        qw, qx, qy, qz = cube[1][3:]
        chunk = self._expert.branch(
            ExpertState(
                reference=reference[:4],
                tool=np.array([state[k] for k in ("tool_x", "tool_y", "tool_z", "tool_yaw")]),
                width=float(state["gripper_width"]),
                finger_speed=float(state["gripper_speed"]),
                cube=cube[1][:3],
                cube_yaw=float(np.arctan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))),
            ),
            self.contract.action.chunk_length,
        )
        residual = None
        if self._perturbation is not None:
            residual = self._perturbation.residual(self._steps, chunk[0])
        values = {
            "chunk_id": str(self._steps), "chunk_index": "0", "delay": "0", "prefix_length": "0",
            "starved": "0",
        }  # fmt: skip
        self._steps += 1
        return Step(chunk[0], residual, chunk, stamp, values)


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(SimExpert, args)


if __name__ == "__main__":
    sys.exit(main())
