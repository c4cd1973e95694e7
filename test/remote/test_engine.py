"""A served policy as an engine, with our own policy behind a real server."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.remote.engine import RemoteEngine
from vla_rl_nodes.resources import resource

from .conftest import Clock, MakeEngine
from .server import METADATA, HttpServer, ShippedPolicy, WebsocketServer, seven

SERVED = "franka_pick_served"


@pytest.fixture(scope="module")
def shipped() -> ShippedPolicy:
    return ShippedPolicy()


@pytest.fixture
def server(shipped: ShippedPolicy) -> Iterator[WebsocketServer]:
    with WebsocketServer(shipped.openpi) as running:
        yield running


@pytest.fixture(scope="module")
def local(contract: Contract) -> OnnxEngine:
    """The same policy without a server."""
    path = resource("config/policies/franka_pick")
    return OnnxEngine(load_bundle(path, contract, trusted_keys()))


@pytest.fixture(scope="module")
def noise() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(5).standard_normal((16, 5), dtype=np.float32)


@pytest.fixture(scope="module")
def prefix(contract: Contract) -> np.ndarray[Any, np.dtype[np.float32]]:
    low, high = contract.action.minimum, contract.action.maximum
    return np.random.default_rng(6).uniform(low, high, (16, 5)).astype(np.float32)


def ask(engine: RemoteEngine, observation: Observation) -> Any:
    nothing = np.zeros((16, 5), np.float32)
    return engine.infer(observation, nothing, 0, nothing + 0.5)


def test_a_served_policy_is_the_local_one_bit_for_bit(
    server: WebsocketServer, make_engine: MakeEngine, local: OnnxEngine,
    observation: Observation, prefix: Any, noise: Any,
) -> None:  # fmt: skip
    engine = make_engine(SERVED, server.url)
    assert engine.name == "remote-openpi" and engine.supports_prefix and engine.rows == 16
    for delay in (0, 3, 6):
        chunk = engine.infer(observation, prefix, delay, noise)
        np.testing.assert_array_equal(chunk, local.infer(observation, prefix, delay, noise))
    assert engine.server_ms == 1.0
    assert server.connections == 1


def test_several_noises_give_several_chunks(
    server: WebsocketServer, make_engine: MakeEngine, local: OnnxEngine,
    observation: Observation, prefix: Any, noise: Any,
) -> None:  # fmt: skip
    noises = np.stack([noise, -noise])
    found = make_engine(SERVED, server.url).infer_many(observation, prefix, 2, noises)
    assert found.outcome is None
    for chunk, one in zip(found.chunks, noises, strict=True):
        np.testing.assert_array_equal(chunk, local.infer(observation, prefix, 2, one))


def test_a_server_without_noise_draws_one_and_knows_no_delay(
    make_engine: MakeEngine, observation: Observation, noise: Any
) -> None:
    with HttpServer(lambda m: np.array([0.01, 0, 0, 0, 0, 0, 1.0])) as server:
        engine = make_engine("openvla_bridge", server.url)
        nothing = np.zeros((16, 5), np.float32)
        assert engine.infer_many(observation, nothing, 0, noise[None]).chunks.shape == (1, 16, 5)
        with pytest.raises(InputError, match="takes no noise"):
            engine.infer_many(observation, nothing, 0, np.stack([noise, noise]))
        with pytest.raises(InputError, match="knows no prefix"):
            engine.infer(observation, nothing, 1, noise)


def test_openvla_asks_with_image_instruction_and_key(
    make_engine: MakeEngine, observation: Observation
) -> None:
    heard: list[Any] = []
    with HttpServer(lambda m: heard.append(m) or np.array([0.04, 0, 0, 0, 0, 0.2, 1.0])) as server:
        chunk = ask(make_engine("openvla_bridge", server.url), observation)
    trial, message = heard
    assert trial["image"].shape == message["image"].shape == (224, 224, 3)
    assert message["instruction"] == "pick up the cube and lift it ten centimetres"
    assert message["unnorm_key"] == "bridge_orig"
    assert message["image"].std() > 10 and trial["image"].std() == 0
    # One step of 0.04 m and 0.2 rad at 5 Hz is four ticks at 20 Hz, and then the arm stands.
    np.testing.assert_allclose(chunk[:4], [[0.01, 0, 0, 0.05, 0.08]] * 4, atol=1e-7)
    np.testing.assert_allclose(chunk[4:], [[0, 0, 0, 0, 0.08]] * 12, atol=1e-7)


STATE = [{"stream": "state", "name": name} for name in
         ("tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width", "gripper_speed")] + [
         {"stream": "reference", "name": name} for name in
         ("tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width")]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key", "steps", "first"),
    [("openvla_oft_libero", "state", 8, "full_image"), ("octo_bridge", "proprio", 4,
                                                        "image_primary")],
)  # fmt: skip
def test_our_policy_behind_the_protocols_that_can_carry_it(
    name: str, key: str, steps: int, first: str, make_engine: MakeEngine, shipped: ShippedPolicy,
    observation: Observation,
) -> None:  # fmt: skip
    """What is served there in other axes arrives in ours."""
    images = [
        {"stream": "image_scene", "key": first, "width": 64, "height": 64, "fit": "pad"},
        {"stream": "image_wrist", "key": "image_wrist" if key == "proprio" else "wrist_image",
         "width": 64, "height": 64, "fit": "pad"},
    ]  # fmt: skip
    axes = [{"name": a, "to": f"tool_{a}", "unit": "m"} for a in "xyz"]
    axes += [{"name": f"r{a}", "turn": a} for a in "xyz"]
    axes.append({"name": "g", "gripper": "gripper_width", "closed": 0.0, "open": 1.0,
                 "binary": False})  # fmt: skip
    drawn: list[Any] = []

    def act(message: Any) -> Any:
        answer = getattr(shipped, "octo" if key == "proprio" else "openvla_oft")(message)
        drawn.append(np.array(answer).reshape(-1, 7))
        return answer

    vectors = [{"key": key, "parts": STATE}]
    changes = {"observation__images": images, "observation__vectors": vectors,
               "action__rate_hz": 20, "action__steps": steps, "action__axes": axes,
               "action__rotation": {"kind": "rpy", "to": "tool_yaw", "scale": 1.0,
                                    "largest_tilt": 0.0}, "action__outside": "refuse"}  # fmt: skip
    with HttpServer(act) as server:
        chunk = ask(make_engine(name, server.url, **changes), observation)
    assert len(drawn[-1]) == steps
    np.testing.assert_allclose(seven(chunk[:steps])[:, [0, 1, 2, 5, 6]],
                               drawn[-1][:, [0, 1, 2, 5, 6]], atol=1e-6)  # fmt: skip


def test_a_server_that_changes_the_prefix_is_refused(
    make_engine: MakeEngine, shipped: ShippedPolicy, observation: Observation, prefix: Any,
    noise: Any,
) -> None:  # fmt: skip
    def forgetful(message: Any) -> Any:
        return shipped.openpi(message | {"delay": 0})

    with WebsocketServer(forgetful) as server:
        engine = make_engine(SERVED, server.url)
        assert engine.infer(observation, prefix, 0, noise).shape == (16, 5)
        with pytest.raises(InputError, match="does not keep the prefix"):
            engine.infer(observation, prefix, 4, noise)


def test_a_prefix_needs_our_own_axes(make_engine: MakeEngine) -> None:
    with pytest.raises(InputError, match="needs the contract's own axes"):
        make_engine(SERVED, "ws://127.0.0.1:1", action__steps=8)


def test_a_server_that_is_killed_and_started_again(
    make_engine: MakeEngine, shipped: ShippedPolicy, observation: Observation, clock: Clock
) -> None:
    said: list[str] = []
    with WebsocketServer(shipped.openpi) as first:
        engine = make_engine(SERVED, first.url, said.append)
        before, version = ask(engine, observation), engine.version
        first.close()
        first.hang_up()
        with pytest.raises(InputError, match="cannot be reached"):
            ask(engine, observation)
    with pytest.raises(InputError, match="refused") as caught:
        ask(engine, observation)
    with WebsocketServer(shipped.openpi, port=first.port) as second:
        # Within the pause the same line comes at once, and nobody is asked.
        with pytest.raises(InputError, match=re.escape(str(caught.value))):
            ask(engine, observation)
        assert second.connections == 0
        clock.now += 0.25
        np.testing.assert_array_equal(ask(engine, observation), before)
        assert second.connections == 1
    assert engine.version == version
    assert said == [f"{first.url} answers; it is {version}"] * 2


def test_the_pause_grows_and_is_short_again_after_success(
    make_engine: MakeEngine, shipped: ShippedPolicy, observation: Observation, clock: Clock
) -> None:
    with WebsocketServer(shipped.openpi) as server:
        server.metadata = [1]  # it is there, but not usable
        engine = make_engine(SERVED, server.url)
        for attempt, pause in enumerate((0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0), start=1):
            with pytest.raises(InputError, match="metadata"):
                ask(engine, observation)
            assert server.connections == attempt
            clock.now += pause - 0.01
            with pytest.raises(InputError, match="metadata"):
                ask(engine, observation)
            assert server.connections == attempt
            clock.now += 0.01
        server.metadata = METADATA
        ask(engine, observation)
        server.metadata = [1]
        server.hang_up()
        with pytest.raises(InputError, match="cannot be reached"):
            ask(engine, observation)
        with pytest.raises(InputError, match="metadata"):
            ask(engine, observation)
        clock.now += 0.25
        connections = server.connections
        with pytest.raises(InputError, match="metadata"):
            ask(engine, observation)
        assert server.connections == connections + 1


def test_another_policy_behind_the_same_address_is_not_run(
    make_engine: MakeEngine, shipped: ShippedPolicy, observation: Observation
) -> None:
    with WebsocketServer(shipped.openpi) as server:
        engine = make_engine(SERVED, server.url)
        ask(engine, observation)
        server.metadata = METADATA | {"checkpoint": "another"}
        server.hang_up()
        with pytest.raises(InputError, match="cannot be reached"):
            ask(engine, observation)
        with pytest.raises(InputError, match="serves another policy than before"):
            ask(engine, observation)


def test_a_late_answer_is_never_taken_for_the_next_one(
    make_engine: MakeEngine, observation: Observation
) -> None:
    """The protocol numbers nothing, so a connection with an answer under way is given up."""
    held = threading.Event()
    asked: list[float] = []

    def act(message: Any) -> Any:
        asked.append(float(message["observation/state"][0]))
        if len(asked) == 2:  # after the trial
            held.wait()
        actions = np.zeros((16, 5), np.float32)
        actions[:, 0] = asked[-1] / 100
        return {"actions": actions}

    with WebsocketServer(act) as server:
        engine = make_engine(SERVED, server.url, server__answer_s=0.15)
        seen = observation | {"state": np.array([0.3, *observation["state"][1:]], np.float32)}
        with pytest.raises(InputError, match="no answer within"):
            ask(engine, seen)
        held.set()
        seen["state"] = np.array([0.7, *observation["state"][1:]], np.float32)
        assert ask(engine, seen)[0, 0] == pytest.approx(0.007)
    assert server.connections == 2


def broken_answer(kind: str) -> Any:
    actions = np.zeros((16, 5), np.float32)
    if kind == "nan":
        actions[3, 2] = np.nan
    if kind == "bounds":
        actions[7, 1] = -0.5
    return {"actions": actions[:15] if kind == "shape" else actions}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nan", "answered with actions that are not finite"),
        ("shape", "answered with actions [15, 5], the file says [16, 5]"),
        ("bounds", "asks for -0.5 on axis tool_y at tick 7, the contract allows -0.02 to 0.02"),
        ("truncated", "is no msgpack message"),
        ("oversized", "answered with more than 1048576 bytes"),
        ("text", "refused the request"),
    ],
)
def test_a_bad_answer_is_refused_and_the_next_good_one_used(
    kind: str, said: str, make_engine: MakeEngine, shipped: ShippedPolicy, observation: Observation
) -> None:
    with WebsocketServer(shipped.openpi) as server:
        engine = make_engine(SERVED, server.url)
        good = ask(engine, observation)
        if kind == "truncated":
            server.mangle = lambda data: data[:-7]
        elif kind == "oversized":
            server.mangle = lambda data: data + b"\0" * (1 << 20)
        else:
            server.act = lambda m: None if kind == "text" else broken_answer(kind)
        if kind == "text":
            server.act = lambda m: 1 / 0
        with pytest.raises(InputError) as caught:
            ask(engine, observation)
        assert said in str(caught.value)
        server.act, server.mangle = shipped.openpi, lambda data: data
        np.testing.assert_array_equal(ask(engine, observation), good)


def test_a_wrong_shape_is_told_at_the_start(make_engine: MakeEngine) -> None:
    said = r"actions \[4, 7\], the file says \[1, 7\]"
    with HttpServer(lambda m: np.zeros((4, 7))) as server, pytest.raises(InputError, match=said):
        make_engine("openvla_bridge", server.url).connect()


def test_the_first_answer_has_its_own_deadline(make_engine: MakeEngine) -> None:
    ready = threading.Event()
    with HttpServer(lambda m: ready.wait() and np.zeros(7)) as server:
        engine = make_engine("openvla_bridge", server.url, server__first_answer_s=0.1)
        with pytest.raises(InputError, match=r"no answer within 0\.1 s"):
            engine.connect()
        ready.set()


def test_the_version_names_file_and_metadata_but_not_the_place(
    make_engine: MakeEngine, shipped: ShippedPolicy
) -> None:
    def version(metadata: Any, **changes: Any) -> str:
        with WebsocketServer(shipped.openpi, metadata) as server:
            engine = make_engine(SERVED, server.url, **changes)
            assert engine.version == f"remote:{SERVED}@unconnected"
            engine.connect()
            return engine.version

    first = version(METADATA)
    assert re.fullmatch(r"remote:franka_pick_served@[0-9a-f]{12}", first)
    assert version(METADATA) == first  # on another port
    assert version(METADATA | {"step": 2}) != first
    assert version(METADATA, observation__instruction="lift") != first


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"state": None}, "state: has no sample"),
        ({"state": np.full(6, np.nan, np.float32)}, "state: is not finite"),
        ({"image_scene": np.zeros((32, 32, 3), np.uint8)}, "image_scene: is uint8"),
    ],
)
def test_an_observation_that_must_not_be_used_is_not_sent(
    spoil: dict[str, Any], said: str, server: WebsocketServer, make_engine: MakeEngine,
    observation: Observation,
) -> None:  # fmt: skip
    engine = make_engine(SERVED, server.url)
    with pytest.raises(InputError, match=said):
        ask(engine, observation | spoil)
    assert server.connections == 0


@pytest.mark.parametrize("delay", [-1, 7])
def test_a_prefix_that_must_not_be_used_is_not_sent(
    delay: int, server: WebsocketServer, make_engine: MakeEngine, observation: Observation,
    prefix: Any, noise: Any,
) -> None:  # fmt: skip
    engine = make_engine(SERVED, server.url)
    with pytest.raises(InputError, match="is outside 0 to 6"):
        engine.infer(observation, prefix, delay, noise)
    with pytest.raises(InputError, match="outside the contract's bounds"):
        engine.infer(observation, prefix + np.float32(1.0), 3, noise)
    with pytest.raises(InputError, match="noise: is not finite"):
        engine.infer(observation, prefix, 3, noise * np.float32(np.nan))
    with pytest.raises(InputError, match="prefix: is float32"):
        engine.infer(observation, prefix[:8], 3, noise)
    assert server.connections == 0
