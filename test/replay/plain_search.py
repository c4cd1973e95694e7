"""What a conversion must give, by plain searches through all messages, written anew."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .episode_bag import MS, Episode


def named(body: Any, names: Any) -> list[float] | None:
    """The values by name, or None where one is missing or not finite; written anew."""
    pairs = dict(zip(body.name, body.position, strict=True))
    values = [float(pairs[n]) for n in names if n in pairs]
    return values if len(values) == len(names) and np.isfinite(values).all() else None


def pixels_of(body: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if (body.height, body.width, 3) != shape:
        return None
    rows = np.asarray(body.data).reshape(body.height, body.step)
    return np.stack([rows[y][: 3 * body.width].reshape(-1, 3) for y in range(body.height)])


def truth(episode: Episode) -> dict[str, Any]:
    """What the arrays must hold, by plain searches through all messages."""
    contract, names = episode.contract, episode.contract.action.names
    samples: dict[str, dict[int, np.ndarray]] = {s.key: {} for s in contract.streams}
    for stream in contract.streams:
        for m in episode.on(stream.topic):
            if stream.kind == "image":
                value = pixels_of(m.body, stream.shape)
            else:
                found = named(m.body, stream.names)
                value = None if found is None else np.array(found, dtype=np.float32)
            if value is not None and m.stamp_ns not in samples[stream.key]:
                samples[stream.key][m.stamp_ns] = value

    def rule(key: str, at: int, max_age: int) -> int | None:
        old = [t for t in samples[key] if t <= at and at - t <= max_age]
        return max(old) if old else None

    ticks = [t for t in episode.ticks if t < episode.end_ns and t in episode.live]
    ends = [rule(s.key, episode.end_ns, s.max_age_ns) for s in contract.streams]
    last_known = all(at is not None for at in ends)
    if last_known:
        stamps = [*ticks, episode.end_ns]
        final = dict(zip((s.key for s in contract.streams), ends, strict=True))
    else:
        stamps = ticks
        final = episode.live[ticks[-1]][0]
        ticks = ticks[:-1]
    out: dict[str, Any] = {"stamp_ns": stamps}
    for s in contract.streams:
        chosen = [episode.live[t][0][s.key] for t in ticks] + [final[s.key]]
        assert all(at is not None and at <= t for at, t in zip(chosen, stamps, strict=True))
        out[s.key] = np.stack([samples[s.key][at] for at in chosen])
    keys = sorted(s.key for s in contract.streams)
    out["sample_stamp_ns"] = [[episode.live[t][0][key] for key in keys] for t in ticks]
    out["rule_differs"] = [
        any(rule(s.key, t, s.max_age_ns) != episode.live[t][0][s.key] for s in contract.streams)
        for t in ticks
    ]
    out["observation_match"] = [
        1 if "observation_sha256" in episode.status_values[t] else 2 for t in ticks
    ]
    for array, topic in (
        ("action_proposed", "policy/command"), ("action_residual", "policy/residual"),
        ("action_intervention", "intervention/command"), ("action_executed", "safety/executed"),
    ):  # fmt: skip
        rows = []
        for t in ticks:
            found = [named(m.body, names) for m in episode.on(topic) if m.stamp_ns == t]
            rows.append(next((f for f in found if f is not None), [np.nan] * len(names)))
        out[array] = np.array(rows, dtype=np.float32)
    out["intervened"] = ~np.isnan(out["action_intervention"][:, 0])
    out["intervention_start"], out["intervention_end"] = takeovers(
        out["intervened"].tolist(), (~np.isnan(out["action_executed"][:, 0])).tolist()
    )
    rewards, sources = [], []
    for start, end in pairwise(stamps):
        inside = [
            (m.stamp_ns, m.arrival_ns, m.body.position[m.body.name.index("reward")],
             m.body.header.frame_id)
            for m in episode.on("reward")
            if start < m.stamp_ns <= end
        ]  # fmt: skip
        rewards.append(max(inside)[2] if inside else np.nan)
        sources.append(max(inside)[3] if inside else None)
    table = sorted(set(sources) - {None})
    out["reward_source"] = [-1 if s is None else table.index(s) for s in sources]
    out["reward"] = np.array(rewards, dtype=np.float32)
    over = [False] * (len(ticks) - 1) + [True]
    terminal = last_known and episode.outcome in ("success", "failure")
    out["terminated"] = over if terminal else [False] * len(ticks)
    out["truncated"] = [False] * len(ticks) if terminal else over
    for array in ("chunk_id", "chunk_index", "delay", "noise_seed"):
        out[array] = [int(episode.status_values[t].get(array, "-1")) for t in ticks]
    out["policy_version"] = [0 if episode.ticks.index(t) < 5 else 1 for t in ticks]
    masks = []
    for t, following in pairwise(stamps):
        mask = 0
        for m in episode.on("safety/status"):
            values = {v.key: v.value for v in m.body.status[0].values}
            if values["command_stamp"] == str(t):
                mask |= 0b101  # action_bound, workspace
            elif values["command_stamp"] == "" and t <= m.stamp_ns < following:
                mask |= 1 << 7  # stale_command
        masks.append(mask)
    out["safety_reasons"] = masks
    length = contract.action.chunk_length
    chunks = np.full((len(ticks), length, len(names)), np.nan)
    for m in episode.on("policy/chunk"):
        if m.stamp_ns in ticks and len(m.body.points) == length:
            for i, point in enumerate(m.body.points):
                by_name = dict(zip(m.body.joint_names, point.positions, strict=True))
                chunks[ticks.index(m.stamp_ns), i] = [by_name[n] for n in names]
    out["chunk"] = chunks.astype(np.float32)
    privileged = []
    for t in ticks:
        older = [m for m in episode.on("sim/state") if t - 200 * MS <= m.stamp_ns <= t]
        newest = max(older, key=lambda m: m.stamp_ns, default=None)
        privileged.append([np.nan] * 3 if newest is None else list(newest.body.position))
    out["privileged"] = np.array(privileged)
    return out


def takeovers(person: list[bool], anybody: list[bool]) -> tuple[list[bool], list[bool]]:
    """First and last steps of interventions, step by step: who holds the robot, and since when."""
    starts, ends = [False] * len(person), [False] * len(person)
    last: int | None = None  # the person's last step, while the person holds the robot
    for step, acted in enumerate(person):
        if acted:
            starts[step] = last is None
            last = step
        elif anybody[step] and last is not None:
            ends[last], last = True, None
    if last is not None:
        ends[last] = True
    return starts, ends


def values_of(episode: Episode, stream: Any) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    for m in episode.on(stream.topic):
        if stream.kind == "image":
            value = pixels_of(m.body, stream.shape)
        else:
            numbers = named(m.body, stream.names)
            value = None if numbers is None else np.array(numbers, dtype=np.float32)
        if value is not None:
            found.setdefault(m.stamp_ns, value)
    return found
