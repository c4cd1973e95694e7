"""sim_cameras: the simulated cameras, rendered in a process of their own from sim/state."""

from __future__ import annotations

import array
import sys

from sensor_msgs.msg import Image, JointState

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import COMMAND, SENSOR
from vla_rl_nodes.nodes.sim_robot import robot_and_scene
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.sim.cameras import CameraRenderer


class SimCameras(LeanNode):
    """Publishes ``cameras/<name>/image_raw``, stamped with the simulated state's time.

    The parameter ``blackout`` puts the lens caps on: a policy that still succeeds does not look.
    """

    def __init__(self) -> None:
        super().__init__("sim_cameras")
        robot, scene = robot_and_scene(self)
        parameters.flag(self, "blackout", False, "Publish black images.", read_only=False)
        self._complaints = Complaints(self.get_logger())
        self._renderer = CameraRenderer(robot, scene)
        self._images = {
            name: self.create_publisher(Image, f"cameras/{name}/image_raw", SENSOR)
            for name in self._renderer.names
        }
        self.create_subscription(JointState, "sim/state", self._draw, COMMAND)

    def _draw(self, state: JointState) -> None:
        try:
            self._renderer.set_state(state.name, list(state.position))
        except InputError as error:
            self._complaints.say(error)
            return
        self._renderer.blackout = bool(self.get_parameter("blackout").value)
        for name, publisher in self._images.items():
            pixels = self._renderer.render(name)
            height, width, _ = pixels.shape
            message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
            message.header.stamp = state.header.stamp
            message.header.frame_id = f"{name}_optical_frame"
            message.data = array.array("B", pixels.tobytes())
            publisher.publish(message)

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(SimCameras, args, realtime_priority=5)


if __name__ == "__main__":
    sys.exit(main())
