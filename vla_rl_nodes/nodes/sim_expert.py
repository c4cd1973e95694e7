"""sim_expert: demonstrations in simulation, by the scripted expert in the policy's place."""

from __future__ import annotations

import sys
import threading

from sensor_msgs.msg import JointState

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import AlignedObservation
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.step_node import Step, StepNode
from vla_rl_nodes.sim.actors import ExpertActor, Seen

CUBE = ("cube_x", "cube_y", "cube_z", "cube_qw", "cube_qx", "cube_qy", "cube_qz")
SILENCE_NS = 200_000_000


class SimExpert(StepNode):
    """Publishes what the policy publishes: its clean plan as chunk and command, and the
    disturbance, from which the data get their variety, as a residual within the filter's bound.

    It alone looks at ``sim/state``; the recorded observations are the policy's.
    """

    def __init__(self) -> None:
        super().__init__("sim_expert")
        perturbed = parameters.flag(self, "perturbed", True, "Disturb the demonstrations.")
        self._actor = ExpertActor(self.contract, perturbed)
        self._steps = 0
        self._state_lock = threading.Lock()
        self._state: tuple[int, dict[str, float]] | None = None
        self.create_subscription(JointState, "sim/state", self._hear_state, STREAM)
        self.start()

    @property
    def version(self) -> str:
        """The expert's name."""
        return "sim_expert"

    def _hear_state(self, message: JointState) -> None:
        names = list(message.name)
        try:
            named_vector(message, CUBE, "sim/state")  # what the expert needs of it
            values = named_vector(message, names, "sim/state")
        except InputError as error:
            self.complaints.say(error)
            return
        with self._state_lock:
            self._state = (stamp_ns(message), dict(zip(names, values.tolist(), strict=True)))

    def start_episode(self, episode_id: str) -> None:
        """A new disturbance for each episode, from the episode's seed."""
        self._steps = 0
        self._actor.start(max(self.episode_seed, 0))

    def step(self, stamp: int, seen: AlignedObservation) -> Step:
        """The clean plan from the present state, and this tick's disturbance."""
        with self._state_lock:
            state = self._state
        if state is None or stamp - state[0] > SILENCE_NS:
            self.complaints.say("sim/state: has been silent, so the expert waits; check sim_robot")
            return Step(None)
        decision = self._actor.decide(self._steps, Seen(stamp, seen.observation, state[1]))
        values = {
            "chunk_id": str(self._steps),
            "chunk_index": "0",
            "delay": "0",
            "prefix_length": "0",
            "starved": "0",
        }
        self._steps += 1
        return Step(decision.action, decision.residual, decision.chunk, stamp, values)


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(SimExpert, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
