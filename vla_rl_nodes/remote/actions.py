"""A server's chunk as a chunk of our contract: axes, units, frame, rate and bounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote import resample
from vla_rl_nodes.remote.rotation import (
    quaternions_of_rpy,
    quaternions_of_vectors,
    yaw_and_tilt,
)
from vla_rl_nodes.remote.spec import ActionMap, Gripper, ServedAxis, Straight, Turn

Array = NDArray[np.float64]

# Axes whose action is a place and no way: they hold between two steps, others share them out.
POSITION_AXES = frozenset({"gripper_width"})


class ServedActions:
    """Checks a map against a contract once, and then applies it.

    Args:
        place: of the YAML file or the server, for the errors.
        contract: what the chunk is for.
        spec: the map.

    Attributes:
        rows: leading rows of a chunk that the server has decided; what follows them stands
            still.
        native: whether the server's axes are ours, in our units, order, rate and length.

    Raises:
        InputError: the map does not make every one of our axes, in its unit and frame.
    """

    def __init__(self, place: object, contract: Contract, spec: ActionMap) -> None:
        self._place = f"{place}: action"
        self._contract, self._spec = contract, spec
        self._names = contract.action.names
        self._check_axes()
        ticks = resample.whole_ticks(spec.steps, spec.rate_hz, contract.policy_hz)
        self.rows = min(ticks, contract.action.chunk_length)
        if self.rows < 1:
            raise InputError(
                self._place,
                f"{spec.steps} steps at {spec.rate_hz} Hz fill no tick of {contract.policy_hz} Hz",
                "correct steps and rate_hz",
            )
        self.native = (
            spec.rate_hz == contract.policy_hz
            and spec.steps == contract.action.chunk_length
            and all(
                isinstance(axis, Straight)
                and (axis.to, axis.scale) == (name, 1.0)
                and axis.unit != "1"
                for axis, name in zip(spec.axes, self._names, strict=False)
            )
            and len(spec.axes) == len(self._names)
        )

    def chunk(self, served: Array, place: object) -> NDArray[np.float32]:
        """Our chunk [H, A] of the server's [steps, axes], which is finite.

        Raises:
            InputError: it tilts or moves what we cannot, or leaves the contract's bounds and
                the map does not say to clip.
        """
        ours = self._unbounded(served, place)
        action = self._contract.action
        # float32, because a bound such as 0.15 rounds upwards in it.
        low, high = action.minimum.astype(np.float32), action.maximum.astype(np.float32)
        chunk = ours.astype(np.float32)
        outside = (chunk < low) | (chunk > high)
        if outside.any() and self._spec.outside == "refuse":
            row, column = np.argwhere(outside)[0]
            raise InputError(
                place,
                f"asks for {chunk[row, column]:.4g} on axis {self._names[column]} at tick {row},"
                f" the contract allows {low[column]:g} to {high[column]:g}",
                "check the action map, or set outside to clip",
            )
        return np.clip(chunk, low, high)

    def _unbounded(self, served: Array, place: object) -> Array:
        """The chunk [H, A] before it is held against the bounds."""
        columns = self._columns(served, place)
        stacked = np.stack([columns[name] for name in self._names], axis=1)
        held = np.array([name in POSITION_AXES for name in self._names])
        rate, hz = self._spec.rate_hz, self._contract.policy_hz
        moved = resample.motions(stacked, rate, hz)
        stood = resample.positions(stacked, rate, hz)
        ours = np.where(held, stood, moved) if rate != hz else stacked
        rows = np.zeros((self._contract.action.chunk_length, len(self._names)))
        rows[: self.rows] = ours[: self.rows]
        rows[self.rows :, held] = ours[self.rows - 1, held]
        return rows

    def _columns(self, served: Array, place: object) -> dict[str, Array]:
        columns: dict[str, Array] = {}
        turns: dict[str, Array] = {}
        for axis, values in zip(self._spec.axes, served.T, strict=True):
            if isinstance(axis, Straight):
                columns[axis.to] = values if axis.scale == 1.0 else values * axis.scale
            elif isinstance(axis, Gripper):
                columns[axis.gripper] = self._opening(axis, values)
            elif isinstance(axis, Turn):
                turns[axis.turn] = values
            elif np.abs(values).max() > axis.within:
                raise InputError(
                    place,
                    f"asks for {values[np.abs(values).argmax()]:.4g} on axis {axis.name}, which"
                    f" this robot has not (allowed: {axis.within:g})",
                    "check the action map",
                )
        rotation = self._spec.rotation
        if rotation is not None:
            scaled = rotation.scale * np.stack([turns[name] for name in "xyz"], axis=1)
            quaternions = (
                quaternions_of_rpy if rotation.kind == "rpy" else quaternions_of_vectors
            )(scaled)
            columns[rotation.to], tilt = yaw_and_tilt(quaternions)
            if tilt.max() > rotation.largest_tilt:
                raise InputError(
                    place,
                    f"tilts the tool by {tilt.max():.4g} rad a step, which this robot cannot"
                    f" (allowed: {rotation.largest_tilt:g})",
                    "check the action map",
                )
        return columns

    def _opening(self, axis: Gripper, values: Array) -> Array:
        """Widths of the gripper [steps] for the server's numbers."""
        index = self._names.index(axis.gripper)
        low, high = self._contract.action.minimum[index], self._contract.action.maximum[index]
        share = (values - axis.closed) / (axis.open - axis.closed)
        if axis.binary:
            share = (share >= 0.5).astype(np.float64)
        width: Array = low + share * (high - low)
        return width

    def _check_axes(self) -> None:
        action, spec = self._contract.action, self._spec
        if spec.frame != action.frame:
            raise InputError(
                self._place,
                f"moves along {spec.frame}, the contract along {action.frame}",
                "take a policy of that frame",
            )
        units = {axis.name: axis.unit for axis in action.axes}
        made = [_made(axis, units, self._place) for axis in spec.axes]
        if spec.rotation is not None:
            made.append(spec.rotation.to)
            if units.get(spec.rotation.to, "rad") != "rad":
                raise InputError(self._place, f"{spec.rotation.to} does not turn", "correct to")
        for name in filter(None, made):
            if name not in units:
                known = ", ".join(units)
                raise InputError(self._place, f"the contract has no axis {name}", f"take {known}")
            if made.count(name) > 1:
                raise InputError(self._place, f"axis {name} is made twice", "keep one of them")
        missing = next((name for name in units if name not in made), None)
        if missing is not None:
            raise InputError(self._place, f"nothing makes axis {missing}", "map one of its axes")


def _made(axis: ServedAxis, units: Mapping[str, str], place: object) -> str | None:
    """Our axis that one of the server's makes by itself; its unit must fit."""
    if isinstance(axis, Straight):
        ours = units.get(axis.to, axis.unit)
        if axis.unit not in ("1", ours):
            raise InputError(
                place, f"axis {axis.name} is in {axis.unit}, {axis.to} in {ours}", "correct unit"
            )
        return axis.to
    if isinstance(axis, Gripper):
        if axis.gripper in units and axis.gripper not in POSITION_AXES:
            raise InputError(place, f"{axis.gripper} is no gripper", "map it with to")
        return axis.gripper
    return None
