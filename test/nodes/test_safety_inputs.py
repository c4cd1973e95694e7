"""Which way is up, from an IMU's orientation; a reset that falls silent."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import episode_alive, safety_inputs
from vla_rl_nodes.nodes.safety_inputs import RESET_SILENT_NS, SafetyInputs, up_in_body
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.state import Instant, Source


@given(st.floats(-3.0, 3.0), st.floats(-1.5, 1.5), st.floats(-3.0, 3.0))
def test_up_is_the_last_row_of_the_rotation(roll: float, pitch: float, yaw: float) -> None:
    c, s = (
        [math.cos(a / 2) for a in (roll, pitch, yaw)],
        [math.sin(a / 2) for a in (roll, pitch, yaw)],
    )
    x = s[0] * c[1] * c[2] - c[0] * s[1] * s[2]
    y = c[0] * s[1] * c[2] + s[0] * c[1] * s[2]
    z = c[0] * c[1] * s[2] - s[0] * s[1] * c[2]
    w = c[0] * c[1] * c[2] + s[0] * s[1] * s[2]
    # Rz(yaw) Ry(pitch) Rx(roll): the heading does not matter.
    expected = [-math.sin(pitch), math.sin(roll) * math.cos(pitch),
                math.cos(roll) * math.cos(pitch)]  # fmt: skip
    np.testing.assert_allclose(up_in_body(x, y, z, w), expected, atol=1e-12)


@pytest.mark.parametrize(
    "bad", [(0, 0, 0, 0), (0, 0, 0, 1.1), (math.nan, 0, 0, 1), (0, 0, 0, math.inf)]
)
def test_what_is_no_orientation_is_refused(bad: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="has length"):
        up_in_body(*bad)


def test_a_reset_that_falls_silent_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[str, Any] = {}
    engaged: list[tuple[Source, bool]] = []
    said: list[str] = []

    def subscribe(
        kind: object, topic: str, callback: Any, profile: object, **options: Any
    ) -> None:
        heard[topic] = callback

    def engage(source: Source, is_so: bool, now: Instant) -> None:
        engaged.append((source, is_so))

    now = [Instant(0, 0)]
    monkeypatch.setattr(safety_inputs, "instant", lambda node: now[0])
    node: Any = SimpleNamespace(create_subscription=subscribe)
    safety: Any = SimpleNamespace(
        engage=engage, command=print, joints=print, residual=print, joint_names=()
    )
    complaints: Any = SimpleNamespace(say=said.append)
    anything: Any = None
    inputs = SafetyInputs(
        node, load_robot("fr3"), load_contract("franka_pick"), anything, safety,
        threading.Lock(), anything, complaints,
    )  # fmt: skip
    heard["reset/active"](SimpleNamespace(data=True))
    now[0] = Instant(0, RESET_SILENT_NS)
    inputs.forget_silent_reset(now[0])
    assert inputs.reset_active and not said
    heard["reset/active"](SimpleNamespace(data=True))  # said again, so it goes on
    now[0] = Instant(0, 2 * RESET_SILENT_NS)
    inputs.forget_silent_reset(now[0])
    assert inputs.reset_active
    now[0] = Instant(0, 2 * RESET_SILENT_NS + 1)
    inputs.forget_silent_reset(now[0])
    inputs.forget_silent_reset(now[0])
    assert not inputs.reset_active
    assert engaged[-1] == (Source.RESET, False) and engaged.count((Source.RESET, False)) == 1
    assert len(said) == 1 and "silent" in said[0]


def test_without_the_episodes_node_a_policy_commands_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: dict[str, Any] = {}
    offered: list[Source] = []
    said: list[str] = []
    now = [Instant(0, 10**12)]
    for module in (safety_inputs, episode_alive):
        monkeypatch.setattr(module, "instant", lambda node: now[0])

    def subscribe(kind: Any, topic: str, callback: Any, profile: Any, **options: Any) -> None:
        heard[topic] = callback

    safety: Any = SimpleNamespace(
        command=lambda source, *rest: offered.append(source), joints=print, residual=print,
        joint_names=(),
    )  # fmt: skip
    node: Any = SimpleNamespace(create_subscription=subscribe)
    episode: Any = SimpleNamespace(running_id="e")
    complaints: Any = SimpleNamespace(say=lambda line, kind="": said.append(line))
    anything: Any = None
    contract = load_contract("franka_pick")
    SafetyInputs(
        node, load_robot("fr3"), contract, anything, safety, threading.Lock(), episode, complaints
    )
    action = vector_message(0, contract.action.names, np.zeros(5))
    heard["episode/alive"](SimpleNamespace(data=True))
    heard["policy/command"](action)
    assert offered == [Source.POLICY] and not said
    now[0] = Instant(0, now[0].steady_ns + episode_alive.SILENT_NS + 1)
    heard["policy/command"](action)
    heard["intervention/command"](action)  # a person needs no episode
    assert offered == [Source.POLICY, Source.INTERVENTION]
    assert said == ["policy/command: no episode is running; start one"]
