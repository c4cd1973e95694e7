"""A node that has spoken once has to go on speaking."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vla_rl_nodes.nodes import episode_alive
from vla_rl_nodes.nodes.episode_alive import SILENT_NS, EpisodeAlive
from vla_rl_nodes.safety.state import Instant


def test_silence_counts_from_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    now, heard = [Instant(0, 10**12)], []

    def listen(kind: Any, topic: str, callback: Any, profile: Any) -> None:
        heard.append(callback)

    monkeypatch.setattr(episode_alive, "instant", lambda node: now[0])
    node: Any = SimpleNamespace(create_subscription=listen)
    alive = EpisodeAlive(node)
    assert not alive.silent(now[0])  # it has never spoken: an older node
    heard[0](SimpleNamespace(data=True))
    assert not alive.silent(Instant(0, now[0].steady_ns + SILENT_NS))
    assert alive.silent(Instant(0, now[0].steady_ns + SILENT_NS + 1))
    now[0] = Instant(0, now[0].steady_ns + 2 * SILENT_NS)
    heard[0](SimpleNamespace(data=True))
    assert not alive.silent(now[0])
