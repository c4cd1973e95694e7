"""Words that a format may not get through, any others, and episodes of which they were said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from vla_rl_nodes.replay.critique import Critique
from vla_rl_nodes.replay.episode import EpisodeData, content_sha256

HARD = [
    "", " ", "\n", "\r\n", "\0", "a\0b\0", '"', "'", "\\", '\\"', "\\u0000", "\t\x01\x1f\x7f",
    "nearly\n\nANSWER: 4", "“quoted” – naïve", "机器人", "🤖👍🏽", "\u2028\u2029\ufeff", "e\u0301",
    "[]", '[{"text":"x"}]', "null", "\ufffd", "\U0010ffff", "x" * 5000, " trailing \n",
]  # fmt: skip
words = st.one_of(st.sampled_from(HARD), st.text(max_size=40))
codes = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-9, 9))


def critique(step: int, text: str, source: str = "s", code: int | None = None) -> Critique:
    return Critique(step=step, stamp_ns=1000 + step, source=source, text=text, code=code)


def with_critiques(
    episode: EpisodeData, said: Sequence[Critique], name: str | None = None
) -> EpisodeData:
    """The episode with these critiques, a hash that fits, and maybe another id."""
    said = sorted(said, key=lambda c: c.step)
    changes: dict[str, Any] = {
        "critiques": said, "episode_id": name or episode.header.episode_id,
        "content_sha256": content_sha256(episode.transitions.arrays(), said),
    }  # fmt: skip
    return replace(episode, header=episode.header.model_copy(update=changes))
