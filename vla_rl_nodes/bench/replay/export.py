"""Frames a second from converted episodes to the datasets of other tools, on the disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.replay.episode import (
    EpisodeData,
    EpisodeHeader,
    Transitions,
    array_file,
    content_sha256,
)
from vla_rl_nodes.replay.export.lerobot_write import write_lerobot
from vla_rl_nodes.replay.export.rlds import write_rlds
from vla_rl_nodes.replay.export.robomimic import write_robomimic
from vla_rl_nodes.replay.export.source import Episodes, open_episodes
from vla_rl_nodes.replay.folder import write_episode

EPISODES = 2
STEPS = 150
SIDE = 128
CAMERAS = ("image_scene", "image_wrist")
AXES = 7
RATE_HZ = 30
_REPEATS = 3


def measure_export(seed: int, folder: Path) -> dict[str, float]:
    """Frames a second of each format, the best of three runs each.

    A frame is one step with two camera images of 128x128 and its vectors. Reading the episodes
    and checking their hashes is part of it, and so is bringing the dataset to the disk.

    Args:
        seed: of the episodes' content.
        folder: for the episodes and the datasets; made, and emptied of the datasets afterwards.
    """
    sources = [
        write_episode(synthetic_episode(seed + i, f"export-{seed + i}"), folder / "episodes")
        for i in range(EPISODES)
    ]
    writers: dict[str, Callable[[Episodes, Path], Any]] = {
        "lerobot_png": lambda episodes, out: write_lerobot(episodes, out, "png"),
        "lerobot_jpeg": lambda episodes, out: write_lerobot(episodes, out, "jpeg"),
        "robomimic": write_robomimic,
        "rlds_png": lambda episodes, out: write_rlds(episodes, out, "png"),
    }
    times: dict[str, list[float]] = {name: [] for name in writers}
    for _ in range(_REPEATS):  # side by side, so that a busy moment hits all of them
        for name, write in writers.items():
            out = folder / name
            started = time.perf_counter()
            write(open_episodes(sources), out)
            times[name].append(time.perf_counter() - started)
            shutil.rmtree(out)
    return {name: EPISODES * STEPS / min(taken) for name, taken in times.items()}


def synthetic_episode(seed: int, episode_id: str) -> EpisodeData:
    """An episode of 150 steps with two cameras: shapes that move over a shaded ground, with the
    noise of a sensor, since pictures without any would compress better than real ones."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(STEPS + 1, AXES)).cumsum(axis=0).astype(np.float32)
    action = np.diff(vectors, axis=0)
    nothing = np.full((STEPS, AXES), np.nan, dtype=np.float32)
    absent = np.full(STEPS, -1, dtype=np.int32)
    flags = np.zeros(STEPS, dtype=np.bool_)
    last = flags.copy()
    last[-1] = True
    transitions = Transitions(
        stamp_ns=np.arange(STEPS + 1, dtype=np.int64) * round(1e9 / RATE_HZ),
        action_proposed=action,
        action_residual=nothing,
        action_intervention=nothing,
        action_executed=action,
        intervened=flags,
        reward=last.astype(np.float32),
        terminated=last,
        truncated=flags,
        chunk_id=absent,
        chunk_index=absent,
        delay=absent,
        noise_seed=absent.astype(np.int64),
        policy_version=np.zeros(STEPS, dtype=np.int32),
        safety_reasons=np.zeros(STEPS, dtype=np.uint32),
        observation_match=np.ones(STEPS, dtype=np.uint8),
        rule_differs=flags,
        chunk=np.full((STEPS, 16, AXES), np.nan, dtype=np.float32),
        privileged=None,
        observations={"state": vectors, **{key: _film(rng) for key in CAMERAS}},
    )
    arrays = transitions.arrays()
    header = EpisodeHeader(
        episode_id=episode_id,
        contract="export_bench",
        contract_sha256="0" * 64,
        bag_sha256=None,
        outcome="success",
        reason="",
        seed=seed,
        task="move the shapes",
        robot="bench",
        steps=STEPS,
        policy_hz=RATE_HZ,
        chunk_length=16,
        action_names=[f"axis_{i}" for i in range(AXES)],
        streams={
            "state": ("<f4", [AXES]),
            **{key: ("|u1", [SIDE, SIDE, 3]) for key in CAMERAS},
        },
        privileged_names=[],
        policy_versions=["bench"],
        reward_sources=["bench"],
        counts={},
        refused={},
        recorder_dropped={},
        content_sha256=content_sha256(arrays),
        files={name: array_file(array) for name, array in arrays.items()},
    )
    return EpisodeData(header, transitions)


def _film(rng: np.random.Generator) -> NDArray[np.uint8]:
    ramp = np.linspace(40, 200, SIDE)
    ground = np.full((SIDE, SIDE, 3), 80.0)
    ground[..., 0], ground[..., 1] = ramp[None], ramp[:, None]
    film = np.empty((STEPS + 1, SIDE, SIDE, 3), dtype=np.uint8)
    places = rng.integers(0, SIDE - 24, size=(6, 2))
    speeds = rng.integers(-2, 3, size=(6, 2))
    colours = rng.integers(0, 256, size=(6, 3))
    for number in range(STEPS + 1):
        frame = ground + rng.normal(scale=1.5, size=ground.shape)
        for place, speed, colour in zip(places, speeds, colours, strict=True):
            y, x = (place + speed * number) % (SIDE - 24)
            frame[y : y + 24, x : x + 24] = colour
        film[number] = np.clip(frame, 0, 255)
    return film
