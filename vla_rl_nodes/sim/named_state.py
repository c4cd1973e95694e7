"""The simulator's whole configuration as named scalars, for the topic ``sim/state`` and bags."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

Vector = NDArray[np.float64]

_FREE = ("x", "y", "z", "qw", "qx", "qy", "qz")


class StateLayout:
    """The names of a model's qpos and the way back from named scalars to it.

    Attributes:
        names: one for each component of qpos, in its order. A revolute or prismatic joint gives
            its name (rad or m). A free body gives its name with ``_x _y _z`` (metres, world
            frame) and ``_qw _qx _qy _qz`` (unit quaternion).
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        names: list[str] = []
        self._quaternions: list[slice] = []
        for index in range(model.njnt):
            joint = model.joint(index)
            if model.jnt_type[index] == mujoco.mjtJoint.mjJNT_FREE:
                body = model.body(int(model.jnt_bodyid[index])).name
                self._quaternions.append(slice(len(names) + 3, len(names) + 7))
                names.extend(f"{body}_{part}" for part in _FREE)
            else:
                names.append(joint.name)
        self.names = tuple(names)

    def qpos(self, names: Sequence[str], values: Sequence[float] | Vector) -> Vector:
        """The qpos [nq] that a named state stands for, whatever the order of its names.

        Raises:
            InputError: not this model's names, a value that is not finite, or a quaternion that
                is not of unit length.
        """
        place = "sim state"
        given = np.asarray(values, dtype=np.float64)
        fits = len(names) == len(self.names) and given.shape == (len(self.names),)
        if not fits or set(names) != set(self.names):
            raise InputError(place, "names another robot or scene", "start both with one scene")
        where = {name: index for index, name in enumerate(names)}
        qpos: Vector = given[[where[name] for name in self.names]]
        if not np.isfinite(qpos).all():
            raise InputError(place, "holds a value that is not finite", "reset the simulation")
        for part in self._quaternions:
            if abs(float(np.linalg.norm(qpos[part])) - 1.0) > 1e-3:
                raise InputError(
                    place, "holds a quaternion not of unit length", "send it as it is"
                )
        return qpos

    def pose(
        self, data: mujoco.MjData, names: Sequence[str], values: Sequence[float] | Vector
    ) -> None:
        """Poses the model in another process as a named state says; velocities stay.

        Raises:
            InputError: see :meth:`qpos`; the data stays as it was.
        """
        data.qpos[:] = self.qpos(names, values)
        # All that drawing needs: bodies, cameras and lights.
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_camlight(self._model, data)
