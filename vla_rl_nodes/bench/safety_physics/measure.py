"""What the simulator measures of a robot that is pushed, at every physics step."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety_physics.setting import TABLE, Setting
from vla_rl_nodes.sim.model import TIMESTEP_S

Array = NDArray[np.float64]

LOOK = 0.03  # m over a margin, beyond which a distance is not looked for


class Pair(NamedTuple):
    """Two of MuJoCo's geometries that must keep a margin (m)."""

    one: int
    other: int
    margin: float
    name: str
    table: bool


class Peaks:
    """The extremes of one trial.

    Attributes:
        contacts: physics steps in which MuJoCo had the robot touch the table or itself.
        touching: the geometries of the first contact.
        room: smallest distance less margin, m, to the table and between own parts; ``LOOK``
            where nothing came so near.
        nearest: the geometries that came so near.
        asked: smallest distance less margin at commanded positions, m; at most ``LOOK``.
        box: how far the tool point was out of its box, m; negative: inside.
        height: how far the trunk was out of its height limits, m; negative: inside.
        stops: how far a joint was out of its range, rad; negative: inside.
        joint_speed: greatest measured joint speed as a share of its limit.
        tool_speed: greatest measured speed of the tool point as a share of its limit.
    """

    def __init__(self) -> None:
        self.contacts = 0
        self.touching = ""
        self.room = {True: LOOK, False: LOOK}  # by whether it is the table's
        self.nearest = {True: "", False: ""}
        self.asked = LOOK
        self.box = self.height = self.stops = -np.inf
        self.joint_speed = self.tool_speed = 0.0


class Meter:
    """Measures a world after each of its steps.

    Which parts are held against each other is asked of MuJoCo's model, not of the filter.
    Contacts and distances are those at which the last step began.

    Args:
        setting: world and limits.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        world = self._world = setting.world
        model, robot = world.model, setting.robot
        base = model.body(robot.base_frame).id
        self._own = model.body_rootid[model.geom_bodyid] == model.body_rootid[base]
        self._table = model.geom(TABLE).id if np.isfinite(setting.reach) else -1
        self.pairs = self._pairs()
        self._fastest = robot.velocity_max * setting.limits.velocity_scale
        self._tool = None if robot.tool_frame is None else model.body(robot.tool_frame).id
        self._feet = [model.body(foot).id for foot in robot.feet]
        self._base = base
        self._scratch = mujoco.MjData(model)
        fingers = () if robot.gripper is None else robot.gripper.joints
        self._qpos, self._fingers = (
            [int(model.joint(joint).qposadr[0]) for joint in joints]
            for joints in (robot.joints, fingers)
        )
        self.restart()

    def restart(self) -> None:
        """A new trial begins where the robot is."""
        self.peaks = Peaks()
        self._before: Array | None = None

    def step(self) -> None:
        """Takes the extremes of one step."""
        self._touch()
        peaks, data = self.peaks, self._world.data
        for pair in self.pairs:
            room = self._room(data, pair)
            if room < peaks.room[pair.table]:
                peaks.room[pair.table], peaks.nearest[pair.table] = room, pair.name
        robot, limits = self._setting.robot, self._setting.limits
        q = self._world.joint_positions
        out = np.maximum(robot.position_min - q, q - robot.position_max)
        peaks.stops = max(peaks.stops, float(out.max()))
        speed = np.abs(self._world.joint_velocities) / self._fastest
        peaks.joint_speed = max(peaks.joint_speed, float(speed.max()))
        if self._tool is not None and limits.workspace is not None:
            point = np.array(data.xpos[self._tool])
            peaks.box = max(peaks.box, self.outside(point))
            if self._before is not None and limits.tool_speed_max is not None:
                way = float(np.linalg.norm(point - self._before))
                share = way / TIMESTEP_S / limits.tool_speed_max
                peaks.tool_speed = max(peaks.tool_speed, share)
            self._before = point
        if limits.body is not None:
            height = self.height(data)
            over = max(limits.body.height_min - height, height - limits.body.height_max)
            peaks.height = max(peaks.height, over)

    def outside(self, point: Array) -> float:
        """How far a tool point [3] is out of its box, m; negative: inside."""
        box = self._setting.limits.workspace
        if box is None:
            return -np.inf
        return float(np.maximum(box.lower - point, point - box.upper).max())

    def height(self, data: mujoco.MjData) -> float:
        """Height of the trunk over its lowest foot, m."""
        feet = min(data.xpos[foot][2] for foot in self._feet)
        return float(data.xpos[self._base][2] - feet)

    def tool(self, data: mujoco.MjData) -> Array:
        """The tool point [3], m."""
        assert self._tool is not None
        return np.array(data.xpos[self._tool])

    def look(self, q: Array) -> mujoco.MjData:
        """Another state of the same model: the robot at ``q`` [n], rad, its gripper open."""
        scratch, gripper = self._scratch, self._setting.robot.gripper
        scratch.qpos[self._qpos] = q
        scratch.qpos[self._fingers] = 0.0 if gripper is None else gripper.width_max / 2.0
        mujoco.mj_kinematics(self._world.model, scratch)
        return scratch

    def least_room(self, q: Array, *, table: bool) -> float:
        """Smallest distance less margin at ``q`` [n] with the gripper open, m; at most LOOK."""
        data = self.look(q)
        rooms = [self._room(data, pair) for pair in self.pairs if pair.table == table]
        return min(rooms, default=LOOK)

    def commanded(self, q: Array) -> None:
        """Takes the distances at commanded positions [n]: what the drives were asked for."""
        self.peaks.asked = min(
            self.peaks.asked, self.least_room(q, table=True), self.least_room(q, table=False)
        )

    def _room(self, data: mujoco.MjData, pair: Pair) -> float:
        most = pair.margin + LOOK
        model = self._world.model
        found = mujoco.mj_geomDistance(model, data, pair.one, pair.other, most, None)
        return float(found) - pair.margin

    def _touch(self) -> None:
        contact = self._world.data.contact
        if not len(contact.dist):
            return
        one, other = contact.geom[:, 0], contact.geom[:, 1]
        touching = (contact.dist <= 0.0) & (self._own[one] | self._own[other])
        if touching.any():
            self.peaks.contacts += 1
            if not self.peaks.touching:
                first = int(np.argmax(touching))
                self.peaks.touching = f"{self._name(one[first])} and {self._name(other[first])}"

    def _pairs(self) -> list[Pair]:
        model, setting = self._world.model, self._setting
        apart = set(model.exclude_signature.tolist())
        tools = set(setting.robot.collision.tool_links)
        planes = [plane for plane in setting.limits.planes if plane.name == TABLE]
        found = []
        for one, other in combinations(range(model.ngeom), 2):
            a, b = sorted((int(model.geom_bodyid[one]), int(model.geom_bodyid[other])))
            fixed = model.body_weldid[a] == model.body_weldid[b]
            if fixed or (a << 16) + b in apart:
                continue
            name = f"{self._name(one)} and {self._name(other)}"
            if self._own[one] and self._own[other]:
                margin = setting.limits.self_collision_margin
                found.append(Pair(one, other, margin, name, False))
            elif self._table in (one, other):
                link = model.body(b).name
                margin = planes[0].tool_margin if link in tools else planes[0].margin
                found.append(Pair(one, other, margin, name, True))
        return found

    def _name(self, geom: int) -> str:
        model = self._world.model
        return str(model.geom(geom).name or model.body(model.geom_bodyid[geom]).name)
