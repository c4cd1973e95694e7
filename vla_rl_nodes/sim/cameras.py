"""Renders a scene's cameras from a named state, headless and without the physics."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.sim.model import LARGEST_PICTURE, build_model
from vla_rl_nodes.sim.named_state import StateLayout
from vla_rl_nodes.sim.scene import Scene

Image = NDArray[np.uint8]
Vector = NDArray[np.float64]


class CameraRenderer(Closable):
    """Images of the scene's cameras; for use from one thread, which it belongs to.

    It holds a model of its own, so that it runs in another process than the physics.

    Args:
        robot: the robot of the world whose states are drawn.
        scene: that world's scene; its cameras and image size are used.
    """

    def __init__(self, robot: Robot, scene: Scene) -> None:
        self.scene = scene
        self.names = tuple(camera.name for camera in scene.cameras)
        self.blackout = False
        self._model = build_model(robot, scene)
        self._data = mujoco.MjData(self._model)
        self._layout = StateLayout(self._model)
        self._small = mujoco.Renderer(self._model, scene.images.height, scene.images.width)
        self._large: mujoco.Renderer | None = None

    def set_state(self, names: Sequence[str], values: Sequence[float] | Vector) -> None:
        """Poses the scene as a named state says, whatever the order of its names.

        Raises:
            InputError: see :meth:`vla_rl_nodes.sim.named_state.StateLayout.qpos`.
        """
        self._layout.pose(self._data, names, values)

    def render(self, camera: str) -> Image:
        """One camera's image rgb8 [height, width, 3]; all zero while ``blackout`` is set.

        Raises:
            InputError: the scene has no such camera.
        """
        self._known(camera)
        size = (self.scene.images.height, self.scene.images.width, 3)
        if self.blackout:
            return np.zeros(size, dtype=np.uint8)
        return self._draw(self._small, camera)

    def picture(self, camera: str, width: int = 480, height: int = 360) -> Image:
        """A larger image rgb8 [height, width, 3] of a camera, for reports and people.

        Raises:
            InputError: the scene has no such camera, or the size is out of range.
        """
        self._known(camera)
        if not (0 < width <= LARGEST_PICTURE[0] and 0 < height <= LARGEST_PICTURE[1]):
            most = "x".join(str(side) for side in LARGEST_PICTURE)
            raise InputError("picture", f"{width}x{height} is out of range", f"ask up to {most}")
        if self._large is None or (self._large.width, self._large.height) != (width, height):
            if self._large is not None:
                self._large.close()
            self._large = mujoco.Renderer(self._model, height, width)
        return self._draw(self._large, camera)

    def project(self, camera: str, points: Vector) -> Vector:
        """Pixel coordinates [m, 2] (x right, y down) of world points [m, 3] in metres.

        In the image size of the scene; NaN for points behind the camera.

        Raises:
            InputError: the scene has no such camera.
        """
        self._known(camera)
        view = self._data.camera(camera)
        local = (points - view.xpos) @ np.array(view.xmat).reshape(3, 3)
        height, width = self.scene.images.height, self.scene.images.width
        fovy = np.deg2rad(float(self._model.camera(camera).fovy[0]))
        focal = height / 2.0 / np.tan(fovy / 2.0)
        depth = np.where(local[:, 2] < 0.0, -local[:, 2], np.nan)
        x = width / 2.0 + focal * local[:, 0] / depth
        y = height / 2.0 - focal * local[:, 1] / depth
        return np.stack([x, y], axis=1)

    def close(self) -> None:
        """Frees the OpenGL contexts; the renderer is of no use afterwards."""
        self._small.close()
        if self._large is not None:
            self._large.close()

    def _draw(self, renderer: mujoco.Renderer, camera: str) -> Image:
        renderer.update_scene(self._data, camera=camera)
        image: Image = renderer.render()
        return image

    def _known(self, camera: str) -> None:
        if camera not in self.names:
            listed = ", ".join(self.names) or "none"
            raise InputError(
                f"scene {self.scene.name}", f"has no camera '{camera}'", f"use {listed}"
            )
