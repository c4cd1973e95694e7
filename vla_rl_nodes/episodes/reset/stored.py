"""States to go back to, in a JSON file: joints by name and the gripper's opening."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from vla_rl_nodes.contract.spec import Component, Finite, Name, Strict
from vla_rl_nodes.episodes.reset.seen import NeedsPerson
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]
Write = Callable[[Path, bytes], None]
LARGEST_FILE = 1 << 20
MOST = 1000  # states


class StoredState(Strict):
    """One state: joints by name, rad; opening, m, or null; when it was stored, ns."""

    robot: Name
    joints: dict[Component, Finite]
    gripper_width: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None
    stamp_ns: Annotated[int, Field(ge=0)]

    def positions(self, robot: Robot) -> Array:
        """Joint positions [n] in the robot's order, rad.

        Raises:
            NeedsPerson: the state is another robot's, or out of its joints' ranges.
        """
        if self.robot != robot.name or set(self.joints) != set(robot.joints):
            raise NeedsPerson(f"the stored state is of {self.robot}, not of {robot.name}")
        q = np.array([self.joints[name] for name in robot.joints])
        if not ((q >= robot.position_min) & (q <= robot.position_max)).all():
            raise NeedsPerson("the stored state is outside the joints' ranges")
        return q


class _File(Strict):
    reset_states: Literal[1]
    states: Annotated[dict[Name, StoredState], Field(max_length=MOST)]


class StoredStates:
    """The states of one file, read when they are asked for.

    Args:
        path: of the file, which need not exist yet.
        write: puts bytes to the disk whole, or not at all.
    """

    def __init__(self, path: Path, write: Write) -> None:
        self._path, self._write = path, write

    def load(self) -> Mapping[str, StoredState]:
        """All states by name, in the order in which they were stored.

        Raises:
            InputError: the file cannot be read, or is not what it should be.
        """
        try:
            if not self._path.exists():
                return {}
            if self._path.stat().st_size > LARGEST_FILE:
                raise InputError(self._path, "is larger than 1 MiB", "store fewer states")
            data = self._path.read_bytes()
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise InputError(self._path, f"cannot be read ({reason})", "check the path") from error
        try:
            return _File.model_validate_json(data).states
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            place = f"{self._path}: {key}" if key else str(self._path)
            raise InputError(place, first["msg"].lower(), "correct it, or move it away") from error

    def add(self, name: str, state: StoredState) -> None:
        """Stores a state under a name; one of that name is replaced.

        Raises:
            InputError: the file is damaged, full, or cannot be written; it stays as it was.
        """
        states = {**self.load(), name: state}
        try:
            file = _File(reset_states=1, states=states)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InputError(f"state '{name}'", first["msg"].lower(), "give another") from error
        text = json.dumps(file.model_dump(mode="json"), indent=1) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write(self._path, text.encode())
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            raise InputError(
                self._path, f"cannot be written ({reason})", "free space or choose another folder"
            ) from error

    def choose(self, name: str, seed: int) -> tuple[str, StoredState]:
        """The state of that name; with an empty name one drawn from the seed.

        Raises:
            NeedsPerson: there is none.
            InputError: see :meth:`load`.
        """
        states = self.load()
        if not states:
            raise NeedsPerson("no state is stored: call reset/store where it shall begin")
        if not name:
            names = sorted(states)
            name = names[int(np.random.default_rng([seed, 0x5107]).integers(len(names)))]
        if name not in states:
            raise NeedsPerson(f"no state '{name}' is stored, only {', '.join(sorted(states))}")
        return name, states[name]
