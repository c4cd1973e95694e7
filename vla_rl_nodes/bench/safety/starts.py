"""Where attacks begin: anywhere, at joint limits, near walls and the own body, singular."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.subjects import Subject
from vla_rl_nodes.bench.safety.surroundings import Surroundings
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw

Array = NDArray[np.float64]

DRAWS = 3000
AT_LIMIT = (0.0, 1e-9, 1e-6, 1e-4, 1e-2)  # rad from a joint's limit
NEAR = 0.02  # m of room
KEPT = 300  # of the tight places, and of the free ones
DOWNWARD = 60  # poses of a tool that points down


def starts(subject: Subject, random: np.random.Generator) -> list[Array]:
    """Configurations to arm at, tight ones and free ones.

    All have room to every margin or at most half a margin too little, as an arm that was moved
    by hand may have.
    """
    downward = subject.contract.action.kind == "tool_delta"
    q = _downward(subject, random) if downward else _anywhere(subject, random)
    surroundings = Surroundings(subject.bounds)
    rooms = surroundings.rooms(q, np.zeros(len(q)))
    wide = surroundings.rooms(q, np.full(len(q), subject.bounds.width_max))
    least = np.minimum(rooms.pairs, wide.pairs).min(axis=1, initial=np.inf)
    box = rooms.box.min(axis=1, initial=np.inf)
    allowed = np.flatnonzero((least > -0.5 * subject.bounds.self_margin) & (box > -0.05))
    height = subject.bounds.height
    if height is not None:
        standing = (rooms.height > height[0] - 0.02) & (rooms.height < height[1] + 0.02)
        allowed = allowed[standing[allowed]]
    tight = [i for i in allowed if least[i] < NEAR or box[i] < NEAR]
    free = [i for i in allowed if least[i] >= NEAR and box[i] >= NEAR]
    return [subject.robot.home, *(q[i] for i in (*tight[:KEPT], *free[:KEPT]))]


def _anywhere(subject: Subject, random: np.random.Generator) -> Array:
    """Around home and over the whole ranges; a third with joints at, or almost at, a limit."""
    low, high = subject.bounds.q_min, subject.bounds.q_max
    q = random.uniform(low, high, (DRAWS, len(low)))
    spread = random.uniform(0.05, 1.0, (DRAWS, 1))
    near_home = subject.robot.home + spread * (q - subject.robot.home)
    q[::2] = near_home[::2]
    for row in q[::3]:
        for joint in random.choice(len(low), random.integers(1, 3), replace=False):
            inset = random.choice(AT_LIMIT)
            row[joint] = low[joint] + inset if random.random() < 0.5 else high[joint] - inset
    return q


def _downward(subject: Subject, random: np.random.Generator) -> Array:
    """Configurations whose tool points down inside the workspace, or just outside of it."""
    kinematics, workspace = Kinematics(subject.robot), subject.limits.workspace
    assert workspace is not None
    found = [subject.robot.home]
    for _ in range(DOWNWARD):
        at = random.uniform(workspace.lower - 0.03, workspace.upper + 0.03)
        if random.random() < 0.4:  # against a face of the box
            axis = random.integers(3)
            at[axis] = (workspace.lower, workspace.upper)[random.integers(2)][axis]
        turned = rotation_from_yaw(random.uniform(-1.0, 1.0))
        result = kinematics.solve(subject.robot.home, at, turned, iterations=100)
        if result.converged:
            found.append(result.q)
    return np.array(found)
