"""The process that stands for a person's input device: it intervenes at full speed for ever.

The package has no such node. This one drives the tool from one side of the workspace to the
other as fast as the contract lets it, whatever the episode does, so that after its death and its
restart the safety filter has something to refuse.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import COMMAND_OFFERED, STREAM
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.safety.limits import load_limits

NAME = "bench_person"
TOOL = ("tool_x", "tool_y", "tool_z")
SHARE = 0.6  # of the workspace box that the goals are drawn from
REACHED_M = 0.02  # the next goal is drawn so near to the last one


class Person(LeanNode):
    """Publishes ``intervention/active`` and ``intervention/command`` at every control tick."""

    def __init__(self) -> None:
        super().__init__(NAME)
        contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        seed = parameters.integer(self, "seed", 0, 0, 2**31 - 1, "Of the goals.")
        box = load_limits(contract.name).workspace
        if contract.action.kind != "tool_delta" or box is None:
            raise InputError(
                contract.name, "has no tool_delta actions in a box", "intervene in another task"
            )
        self._action, self.failed = contract.action, False
        self._middle, self._half = (box.lower + box.upper) / 2.0, (box.upper - box.lower) / 2.0
        self._generator = np.random.default_rng(seed)
        self._side = 1.0
        self._goal = self._draw()
        self._at: np.ndarray | None = None
        self._active = self.create_publisher(Bool, "intervention/active", STREAM)
        self._command = self.create_publisher(JointState, "intervention/command", COMMAND_OFFERED)
        self.create_subscription(JointState, "safety/reference", self._hear, STREAM)
        self._ticker = TickThread(
            contract.period_ns, self._tick, partial(end_after_failed_tick, self), NAME
        )
        self._ticker.start()

    def close(self) -> None:
        """Stops intervening; who is in command then is not said."""
        self._ticker.stop()

    def _draw(self) -> np.ndarray:
        self._side = -self._side
        share = self._generator.uniform(-SHARE, SHARE, 3)
        share[1] = self._side * SHARE
        goal: np.ndarray = self._middle + share * self._half
        return goal

    def _hear(self, message: JointState) -> None:
        where = dict(zip(message.name, message.position, strict=True))
        self._at = np.array([where[name] for name in TOOL])

    def _tick(self, lateness_ns: int) -> None:
        action, at = self._action, self._at
        values = dict.fromkeys(action.names, 0.0)
        if action.has_gripper:
            values[action.names[-1]] = float(action.maximum[-1])
        if at is not None:
            if float(np.abs(self._goal - at).max()) < REACHED_M:
                self._goal = self._draw()
            for axis, way in zip(TOOL, self._goal - at, strict=True):
                index = action.names.index(axis)
                values[axis] = float(np.clip(way, action.minimum[index], action.maximum[index]))
        self._active.publish(Bool(data=True))
        stamp = self.get_clock().now().nanoseconds
        self._command.publish(
            vector_message(stamp, action.names, values.values(), action.frame or "")
        )


def main(args: list[str] | None = None) -> int:
    """Intervenes until it is ended."""
    return spin(Person, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
