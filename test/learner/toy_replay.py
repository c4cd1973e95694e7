"""Replay folders of a small made-up task, in which only the image tells where to go."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.episode import (
    HEADER,
    ArrayFile,
    EpisodeHeader,
    Transitions,
    content_sha256,
    header_bytes,
    npy_bytes,
)
from vla_rl_nodes.replay.observe import Match

STEPS = 24
REACH_M = 0.1  # the square's position on the table, either way
_PRIVILEGED = ["cube_x", "cube_y", "cube_z", "cube_qw", "cube_qx", "cube_qy", "cube_qz"]


def _picture(height: int, width: int, x: float, y: float, colour: int) -> NDArray[np.uint8]:
    """A coloured square on grey; x and y in -1 to 1."""
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    row = round((0.5 + 0.4 * y) * (height - 1))
    column = round((0.5 + 0.4 * x) * (width - 1))
    image[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5] = [colour, 40, 40]
    return image


def toy_episode(contract: Contract, seed: int) -> Transitions:
    """The tool moves to a square and closes there; its start is noise, the square is seen."""
    rng = np.random.default_rng(seed)
    goal = rng.uniform(-REACH_M, REACH_M, 2)
    yaw = rng.uniform(-np.pi / 4, np.pi / 4)
    tool = rng.uniform(-REACH_M, REACH_M, (STEPS + 1, 2))
    height, axes = contract.action.chunk_length, len(contract.action.names)
    chunk = np.zeros((STEPS, height, axes), dtype=np.float32)
    for step in range(STEPS):
        at = tool[step].copy()
        for index in range(height):
            move = np.clip(0.35 * (goal - at), -0.01, 0.01)
            at += move
            chunk[step, index, :2] = move
            chunk[step, index, 4] = 0.0 if np.abs(goal - at).max() < 0.03 else 0.08
    observations: dict[str, NDArray[Any]] = {}
    for stream in contract.streams:
        if stream.kind == "image":
            rows, columns = stream.shape[:2]
            colour = 200 if stream.key == "image_scene" else 160
            picture = _picture(rows, columns, goal[0] / REACH_M, goal[1] / REACH_M, colour)
            observations[stream.key] = np.stack([picture] * (STEPS + 1))
        else:
            vector = rng.normal(0, 0.01, (STEPS + 1, *stream.shape))
            vector[:, :2] = tool
            observations[stream.key] = vector.astype(np.float32)
    none = np.full((STEPS, axes), np.nan, dtype=np.float32)
    flags = np.zeros(STEPS, dtype=np.bool_)
    last = flags.copy()
    last[-1] = True
    state = [*goal, 0.02, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    return Transitions(
        stamp_ns=np.arange(STEPS + 1, dtype=np.int64) * contract.period_ns,
        action_proposed=chunk[:, 0],
        action_residual=none,
        action_intervention=none,
        action_executed=chunk[:, 0],
        intervened=flags,
        reward=last.astype(np.float32),
        terminated=last,
        truncated=flags,
        chunk_id=np.arange(STEPS, dtype=np.int32),
        chunk_index=np.zeros(STEPS, dtype=np.int32),
        delay=np.zeros(STEPS, dtype=np.int32),
        noise_seed=np.full(STEPS, -1, dtype=np.int64),
        policy_version=np.zeros(STEPS, dtype=np.int32),
        safety_reasons=np.zeros(STEPS, dtype=np.uint32),
        observation_match=np.full(STEPS, Match.EQUAL, dtype=np.uint8),
        rule_differs=flags,
        chunk=chunk,
        privileged=np.tile(np.array(state), (STEPS, 1)),
        observations=observations,
    )


def write_episode(
    folder: Path, contract: Contract, seed: int | None, steps: Transitions, **changes: Any
) -> None:
    """A replay folder as the converter writes it; ``changes`` replace fields of its header."""
    arrays = steps.arrays()
    fields: dict[str, Any] = {
        "episode_id": folder.name,
        "contract": contract.name,
        "contract_sha256": contract.sha256,
        "bag_sha256": None,
        "outcome": "success",
        "reason": "",
        "seed": seed,
        "task": contract.task,
        "robot": contract.robot,
        "steps": len(steps.chunk),
        "policy_hz": contract.policy_hz,
        "chunk_length": contract.action.chunk_length,
        "action_names": list(contract.action.names),
        "streams": {
            s.key: ("|u1" if s.kind == "image" else "<f4", list(s.shape)) for s in contract.streams
        },
        "privileged_names": [] if steps.privileged is None else _PRIVILEGED,
        "policy_versions": ["expert"],
        "reward_sources": ["sim/predicate"],
        "counts": {},
        "refused": {},
        "recorder_dropped": {},
        "content_sha256": content_sha256(arrays),
        "files": {
            name: ArrayFile(
                sha256=hashlib.sha256(npy_bytes(array)).hexdigest(),
                dtype=array.dtype.str,
                shape=list(array.shape),
            )
            for name, array in arrays.items()
        },
    }
    header = EpisodeHeader(**{**fields, **changes})
    folder.mkdir()
    for name, array in arrays.items():
        (folder / f"{name}.npy").write_bytes(npy_bytes(array))
    (folder / HEADER).write_bytes(header_bytes(header))
