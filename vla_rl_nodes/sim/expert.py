"""The scripted expert for demonstrations: one action from one state, without memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

OPEN, CLOSED = 0.08, 0.0  # gripper width targets, metres

# How far off the tool's centre a held cube can be: along the pads, across, up; metres. The pads
# still touch it there, and the cube's pose may be a camera period old while the tool moves.
HELD_WITHIN = (0.026, 0.026, 0.026)
AT_REST = 0.02  # m/s: slower fingers are not on their way


@dataclass(frozen=True)
class ExpertState:
    """All that the expert looks at; poses in the arm's base frame, the tool pointing down.

    Args:
        reference: commanded x, y, z, yaw [4], metres and rad.
        tool: measured x, y, z, yaw [4], metres and rad.
        width: measured opening width of the gripper, metres.
        finger_speed: rate of change of that width, m/s.
        cube: x, y, z of the cube's centre [3], metres.
        cube_yaw: its turn about the vertical, rad; any of the four that look alike.
    """

    reference: Vector
    tool: Vector
    width: float
    finger_speed: float
    cube: Vector
    cube_yaw: float


@dataclass(frozen=True)
class ExpertSettings:
    """How the expert moves; metres and rad per control tick where not said otherwise."""

    cruise: float = 0.010  # greatest step along the horizontal, and of the height
    gain: float = 0.35  # share of the remaining distance that a step covers near a goal
    yaw_cruise: float = 0.08
    hover_m: float = 0.07  # height above the grasp for moving sideways
    funnel_m: tuple[float, float] = (0.010, 0.050)  # sideways error: wholly down, wholly up
    yaw_lever_m: float = 0.08  # turns a yaw error into a sideways error
    lift_to_m: float = 0.17  # height of the tool in the base frame that a held cube is carried to
    cube_edge_m: float = 0.04
    lowest_m: float = 0.015  # of the tool: the finger tips are 9 mm below it


@dataclass(frozen=True)
class Plant:
    """How arm and gripper answer to actions, for predicting; measured in closed loop.

    Args:
        follow: share of the gap between reference and tool that a tick closes.
        lead: share of the tick's own action that the tool has already made at its end.
        finger_speed: rate of change of the width, m/s.
        finger_delay_s: from a tick until the fingers begin to move.
        period_s: of the control ticks.
    """

    follow: float = 0.65
    lead: float = 0.3
    finger_speed: float = 0.1
    finger_delay_s: float = 0.015
    period_s: float = 0.05


def cube_yaw(quaternion: Vector) -> float:
    """A cube's turn about the vertical in rad, one of four alike, from its w x y z quaternion.

    Whatever face it rests on: taken from the most level of its edges.
    """
    w, x, y, z = quaternion
    first = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    second = np.array([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)])
    level = first if abs(first[2]) <= abs(second[2]) else second
    return float(np.arctan2(level[1], level[0]))


def nearest_cube_yaw(cube_yaw: float, yaw: float) -> float:
    """The one of the cube's four like yaws that is nearest to ``yaw``, rad."""
    quarter = np.pi / 2.0
    return float(yaw + (cube_yaw - yaw + quarter / 2.0) % quarter - quarter / 2.0)


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _limited(step: Vector, greatest: float) -> Vector:
    length = float(np.linalg.norm(step))
    return step if length <= greatest else step * (greatest / length)


class Expert:
    """Aligns above the cube, sinks, closes, lifts; each decided from the state alone.

    Because nothing is remembered it goes on from wherever a disturbance has left it: it rises and
    aligns again when the cube was knocked away, and opens when it has closed on nothing.
    """

    def __init__(self, settings: ExpertSettings | None = None, plant: Plant | None = None) -> None:
        self.settings = settings or ExpertSettings()
        self.plant = plant or Plant()

    def act(self, state: ExpertState) -> Vector:
        """The action [5]: x, y, z in metres and yaw in rad per tick, gripper width in metres."""
        if self.gripping(state):
            return self._lift(state)
        if self._around(state):
            return np.array([0.0, 0.0, 0.0, 0.0, CLOSED])
        return self._approach(state)

    def branch(self, state: ExpertState, length: int = 16) -> Vector:
        """The clean actions [length, 5] of the coming ticks, predicted from this state.

        The reference adds the actions up, tool and fingers follow as :class:`Plant` says, and the
        cube follows the tool while it is gripped. Nothing else moves the cube.
        """
        chunk = np.empty((length, 5))
        for index in range(length):
            chunk[index] = self.act(state)
            state = self._predicted(state, chunk[index])
        return chunk

    def gripping(self, state: ExpertState) -> bool:
        """Whether the fingers rest on the cube between them, be it by its corners."""
        edge = self.settings.cube_edge_m
        return (
            self._between(state, *HELD_WITHIN)
            and 0.8 * edge < state.width < 1.45 * edge
            and abs(state.finger_speed) < AT_REST
        )

    def _offset(self, state: ExpertState) -> Vector:
        """Cube relative to the tool: along the pads, across (where fingers move), up; metres."""
        gap = state.cube - state.tool[:3]
        c, s = np.cos(state.tool[3]), np.sin(state.tool[3])
        return np.array([c * gap[0] + s * gap[1], s * gap[0] - c * gap[1], gap[2]])

    def _between(self, state: ExpertState, along: float, across: float, up: float) -> bool:
        return bool((np.abs(self._offset(state)) < (along, across, up)).all())

    def _yaw_error(self, state: ExpertState) -> float:
        return nearest_cube_yaw(state.cube_yaw, state.tool[3]) - float(state.tool[3])

    def _around(self, state: ExpertState) -> bool:
        """Whether closing now would grip the cube; looser once the fingers are on their way."""
        loose = 1.0 - _ramp(state.width, 0.060, 0.074)
        return (
            state.width > self.settings.cube_edge_m - 0.008
            and self._between(
                state, 0.005 + 0.009 * loose, 0.008 + 0.014 * loose, 0.006 + 0.010 * loose
            )
            and abs(self._yaw_error(state)) < 0.10 + 0.3 * loose
        )

    def _lift(self, state: ExpertState) -> Vector:
        s = self.settings
        rise = s.gain * (s.lift_to_m - state.reference[2])
        return np.array([0.0, 0.0, min(max(rise, -s.cruise), s.cruise), 0.0, CLOSED])

    def _approach(self, state: ExpertState) -> Vector:
        s = self.settings
        offset = self._offset(state)
        sideways = float(np.hypot(offset[0], offset[1]))
        error = sideways + s.yaw_lever_m * abs(self._yaw_error(state))
        # Fingers that are not open yet would come down on top of the cube.
        closed = 1.0 - _ramp(state.width, 0.058, 0.070)
        up = max(_ramp(error, *s.funnel_m), closed)
        height = max(state.cube[2], s.lowest_m) + s.hover_m * up
        # Low beside the cube, sideways motion would push it away: rise first.
        clear = _ramp(state.tool[2] - state.cube[2], 0.015, 0.045)
        pace = max(clear, 1.0 - _ramp(sideways, 0.010, 0.020))
        step = _limited(s.gain * (state.cube[:2] - state.reference[:2]), s.cruise * pace)
        rise = s.gain * (height - state.reference[2])
        goal_yaw = nearest_cube_yaw(state.cube_yaw, state.reference[3])
        turn = s.gain * (goal_yaw - state.reference[3])
        return np.array(
            [
                step[0],
                step[1],
                min(max(rise, -s.cruise), s.cruise),
                min(max(turn, -s.yaw_cruise), s.yaw_cruise) * pace,
                OPEN,
            ]
        )

    def _predicted(self, state: ExpertState, action: Vector) -> ExpertState:
        p, edge = self.plant, self.settings.cube_edge_m
        gap = state.reference - state.tool
        move = p.follow * gap + p.lead * action[:4]
        held = self._between(state, *HELD_WITHIN)
        carried = self.gripping(state) and action[4] < edge
        toward = action[4] - state.width
        # A finger at rest begins to move after the delay, a moving one goes on.
        moving = state.finger_speed * toward > 0.0 and abs(state.finger_speed) > AT_REST
        time = p.period_s - (0.0 if moving else p.finger_delay_s)
        step = min(max(toward, -p.finger_speed * time), p.finger_speed * time)
        width = state.width + step
        if held and width < edge <= state.width + 0.006:
            width, step = min(state.width, edge), 0.0
        speed = 0.0 if abs(step) < 1e-4 or width in (edge, action[4]) else np.sign(step)
        return replace(
            state,
            reference=state.reference + action[:4],
            tool=state.tool + move,
            width=width,
            finger_speed=float(speed) * p.finger_speed,
            cube=state.cube + move[:3] if carried else state.cube,
        )
