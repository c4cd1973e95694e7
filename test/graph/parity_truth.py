"""What a conversion must give, from what the listener heard: plain searches, written anew."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from replay.plain_search import takeovers

from vla_rl_nodes.contract.spec import Contract, Stream
from vla_rl_nodes.safety.reasons import Reason

Entry = dict[str, Any]


class Heard:
    """The listener's log of one episode.

    Args:
        path: lines of JSON.
        contract: of the robot.
        episode_id: of the episode.
    """

    def __init__(self, path: Path, contract: Contract, episode_id: str) -> None:
        self._contract, self._id = contract, episode_id
        self._by_topic: dict[str, list[Entry]] = {}
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # it is being written
            entry = json.loads(line)
            self._by_topic.setdefault(entry["topic"], []).append(entry)

    def on(self, topic: str) -> list[Entry]:
        """Messages in order of arrival."""
        return self._by_topic.get(topic, [])

    def of_episode(self, topic: str) -> list[Entry]:
        """Events of this episode."""
        return [e for e in self.on(topic) if e["of"].get("episode_id") == self._id]

    def truth(self) -> dict[str, Any]:
        """The arrays that the episode must give."""
        contract = self._contract
        outcomes = ("success", "failure", "timeout", "aborted")
        final = next(e for e in self.of_episode("episode/state") if e["says"] in outcomes)
        samples = {s.key: self._samples(s) for s in contract.streams}
        ticks = [
            e for e in sorted(self.of_episode("policy/status"), key=lambda e: e["stamp"])
            if "observation_sha256" in e["of"] and e["stamp"] < final["stamp"]
        ]  # fmt: skip
        stamps = [e["stamp"] for e in ticks]
        seen = [
            {s.key: samples[s.key][int(e["of"][f"stamp.{s.key}"])] for s in contract.streams}
            for e in ticks
        ]
        for tick, observation in zip(ticks, seen, strict=True):
            assert _hash(observation) == tick["of"]["observation_sha256"]
        last = {}
        for s in contract.streams:
            newest = max(t for t in samples[s.key] if t <= final["stamp"])
            assert final["stamp"] - newest <= s.max_age_s * 1e9
            last[s.key] = samples[s.key][newest]
        out: dict[str, Any] = {
            s.key: np.stack([o[s.key] for o in [*seen, last]]) for s in contract.streams
        }
        out["stamp_ns"] = np.array([*stamps, final["stamp"]], dtype=np.int64)
        for name, topic in (
            ("action_proposed", "policy/command"), ("action_residual", "policy/residual"),
            ("action_intervention", "intervention/command"),
            ("action_executed", "safety/executed"),
        ):  # fmt: skip
            out[name] = self._actions(topic, stamps)
        person, anybody = (
            (~np.isnan(out[f"action_{who}"][:, 0])).tolist()
            for who in ("intervention", "executed")
        )
        by_policy = {
            int(e["of"]["command_stamp"]) for e in self.on("safety/status")
            if e["of"].get("source") == "policy" and e["of"].get("command_stamp")
        }  # fmt: skip
        person = [p and at not in by_policy for p, at in zip(person, stamps, strict=True)]
        starts, ends = takeovers(person, anybody)
        out["intervened"] = np.array(person)
        out["intervention_start"], out["intervention_end"] = np.array(starts), np.array(ends)
        out |= self._rewards(out["stamp_ns"].tolist())
        over = np.arange(len(ticks)) == len(ticks) - 1
        terminal = final["says"] in ("success", "failure")
        out["terminated"], out["truncated"] = over & terminal, over & (not terminal)
        for name, kind in (
            ("chunk_id", np.int32), ("chunk_index", np.int32), ("delay", np.int32),
            ("noise_seed", np.int64),
        ):  # fmt: skip
            out[name] = np.array([int(e["of"].get(name) or -1) for e in ticks], dtype=kind)
        who = [e["who"] for e in ticks]
        versions = list(dict.fromkeys(who))
        out["policy_version"] = np.array([versions.index(v) for v in who], dtype=np.int32)
        out["observation_match"] = np.ones(len(ticks), dtype=np.uint8)
        out["sample_stamp_ns"] = np.array(
            [[int(e["of"][f"stamp.{key}"]) for key in sorted(samples)] for e in ticks],
            dtype=np.int64,
        )
        out["rule_differs"] = np.array(
            [
                any(int(e["of"][f"stamp.{key}"]) != max(t for t in found if t <= e["stamp"])
                    for key, found in samples.items())
                for e in ticks
            ]
        )  # fmt: skip
        out["safety_reasons"] = self._reasons(out["stamp_ns"].tolist())
        out["privileged"] = self._privileged(stamps)
        out["chunk"] = self._chunks(stamps)
        return out

    def _samples(self, stream: Stream) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for e in self.on(stream.topic):
            if stream.kind == "image":
                height, width = e["size"]
                assert (e["encoding"], e["step"]) == ("rgb8", 3 * width)
                flat = np.frombuffer(bytes.fromhex(e["data"]), dtype=np.uint8)
                value = flat.reshape(height, width, 3)
            else:
                value = _named(e, stream.names)
            found.setdefault(e["stamp"], value)
        return found

    def _actions(self, topic: str, stamps: list[int]) -> np.ndarray:
        names = self._contract.action.names
        by_stamp: dict[int, np.ndarray] = {}
        for e in self.on(topic):
            by_stamp.setdefault(e["stamp"], _named(e, names))
        none = np.full(len(names), np.nan, dtype=np.float32)
        return np.stack([by_stamp.get(stamp, none) for stamp in stamps])

    def _rewards(self, stamps: list[int]) -> dict[str, np.ndarray]:
        rewards, sources = [], []
        for start, end in pairwise(stamps):
            inside = [(e["stamp"], i, e) for i, e in enumerate(self.on("reward"))
                      if start < e["stamp"] <= end]  # fmt: skip
            newest = max(inside, default=(0, 0, None), key=lambda item: item[:2])[2]
            rewards.append(np.nan if newest is None else _named(newest, ("reward",))[0])
            sources.append(None if newest is None else newest["frame"])
        table = sorted(set(sources) - {None})
        index = [-1 if source is None else table.index(source) for source in sources]
        return {
            "reward": np.array(rewards, dtype=np.float32),
            "reward_source": np.array(index, dtype=np.int32),
        }

    def _reasons(self, stamps: list[int]) -> np.ndarray:
        masks = [0] * (len(stamps) - 1)
        for e in self.on("safety/status"):
            named = e["of"]["command_stamp"]
            for row, (start, end) in enumerate(pairwise(stamps)):
                if named == str(start) or (named == "" and start <= e["stamp"] < end):
                    for reason in filter(None, e["of"]["reasons"].split(",")):
                        masks[row] |= int(Reason[reason.upper()])
        return np.array(masks, dtype=np.uint32)

    def _privileged(self, stamps: list[int]) -> np.ndarray:
        heard = self.on("sim/state")
        oldest = max(s.max_age_s for s in self._contract.streams) * 1e9
        rows = []
        for stamp in stamps:
            newest = max(
                (e for e in heard if stamp - oldest <= e["stamp"] <= stamp),
                key=lambda e: e["stamp"],
            )
            rows.append(np.frombuffer(bytes.fromhex(newest["values"]), dtype="<f8"))
        return np.stack(rows)

    def _chunks(self, stamps: list[int]) -> np.ndarray:
        action = self._contract.action
        chunks = np.full((len(stamps), action.chunk_length, len(action.names)), np.nan, np.float32)
        for e in self.on("policy/chunk"):
            if e["stamp"] in stamps:
                order = [e["names"].index(name) for name in action.names]
                rows = np.array([np.frombuffer(bytes.fromhex(row)) for row in e["rows"]])
                chunks[stamps.index(e["stamp"])] = rows[:, order]
        return chunks


def _named(entry: Entry, names: Any) -> np.ndarray:
    doubles = np.frombuffer(bytes.fromhex(entry["values"]), dtype="<f8")
    pairs = dict(zip(entry["names"], doubles, strict=True))
    return np.array([pairs[name] for name in names], dtype=np.float64).astype(np.float32)


def _hash(observation: dict[str, np.ndarray]) -> str:
    """As the contract says: keys, types, shapes and bytes, in the contract's order of streams."""
    text = hashlib.sha256()
    for key, value in observation.items():
        text.update(f"{key}:{value.dtype.str}:{list(value.shape)};".encode() + value.tobytes())
    return text.hexdigest()
