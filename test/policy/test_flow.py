"""The robot's half of the flow teacher: units, rows of flow time, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx_writer import Value, model, node, observation_of

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MODEL, load_bundle, write_bundle
from vla_rl_nodes.policy.flow import CONTEXT, FIELD, VELOCITY, FlowField
from vla_rl_nodes.policy.manifest import Flow, Training
from vla_rl_nodes.policy.signing import load_key

H, A, C = 16, 5, 11
SLOPE = 0.3  # of the linear field below
FLOW = Flow(steps=5, action_mean=[0.0, 0.001, 0.0, 0.1, 0.04], action_spread=[0.01] * 4 + [0.02])
TRAINING = Training(seed=0, data_sha256="0" * 64, episodes=1, windows=1, parameters=1, metrics={})


def context_model(contract: Contract, size: int = C) -> bytes:
    """The vector streams side by side."""
    inputs: dict[str, Value] = {
        s.key: (s.dtype.name, ["batch", *s.shape]) for s in contract.streams
    }
    keys = [s.key for s in contract.streams if s.kind == "vector"]
    nodes = [node("Concat", keys, "all", axis=1), node("Slice", ["all", "0", "n", "1"], "context")]
    numbers = {"0": 0, "n": size, "1": 1}
    constants = {name: np.array([value], np.int64) for name, value in numbers.items()}
    return model(inputs, {"context": ("float32", ["batch", size])}, nodes, constants)


NODES_OF_VELOCITY = [
    node("Unsqueeze", ["tau", "last"], "time"),
    node("Gather", ["context", "first"], "one", axis=1),
    node("Unsqueeze", ["one", "last"], "shift"),
    node("Mul", ["x", "time"], "x_time"),
    node("Mul", ["x_time", "slope"], "bent"),
    node("Add", ["bent", "shift"], "velocity"),
]


def field_model(**changes: Any) -> bytes:
    """v = 0.3·x·τ + the first of the context; its correction is (1 + 0.3·(1 - τ)·τ)·error·W."""
    chunk: Value = ("float32", ["batch", H, A])
    rows: Value = ("float32", ["batch", H])
    nodes = [
        *NODES_OF_VELOCITY,
        node("Unsqueeze", ["weight", "last"], "rows"),
        node("Sub", ["unit", "time"], "left"),
        node("Mul", ["left", "velocity"], "rest"),
        node("Add", ["x", "rest"], "clean"),
        node("Sub", ["target", "clean"], "error"),
        node("Mul", ["error", "rows"], "weighted"),
        node("Mul", ["left", "time"], "left_time"),
        node("Mul", ["left_time", "slope"], "gain"),
        node("Add", ["gain", "unit"], "jacobian"),
        node("Mul", ["jacobian", "weighted"], "correction"),
    ]
    parts: dict[str, Any] = {
        "inputs": {
            "context": ("float32", ["batch", C]), "x": chunk, "tau": rows, "target": chunk,
            "weight": rows,
        },
        "outputs": {"velocity": chunk, "correction": chunk},
        "nodes": nodes,
        "constants": {
            "last": np.array([2], np.int64),
            "first": np.array([0], np.int64),
            "slope": np.array(SLOPE, np.float32),
            "unit": np.array(1.0, np.float32),
        },
    }  # fmt: skip
    return model(**{**parts, **changes})


def velocity_model(slope: float = SLOPE) -> bytes:
    """The velocity of :func:`field_model` alone."""
    chunk, rows = ("float32", ["batch", H, A]), ("float32", ["batch", H])
    return model(
        inputs={"context": ("float32", ["batch", C]), "x": chunk, "tau": rows},
        outputs={"velocity": chunk},
        nodes=NODES_OF_VELOCITY,
        constants={
            "last": np.array([2], np.int64),
            "first": np.array([0], np.int64),
            "slope": np.array(slope, np.float32),
        },
    )


@pytest.fixture
def load(
    tmp_path: Path, make_bundle: Callable[..., Path], contract: Contract, key_path: Path
) -> Callable[..., FlowField]:
    """Writes a bundle with these two graphs and opens its flow."""
    student = (make_bundle("student") / MODEL).read_bytes()

    def make(files: dict[str, bytes] | None = None, flow: Flow | None = FLOW) -> FlowField:
        graphs = {
            CONTEXT: context_model(contract),
            FIELD: field_model(),
            VELOCITY: velocity_model(),
        }
        write_bundle(
            tmp_path / "flow",
            contract,
            {MODEL: student, **(graphs if files is None else files)},
            recipe="test",
            training=TRAINING,
            created_by={"test": "1"},
            key=load_key(key_path),
            flow=flow,
        )
        trusted = [key_path.with_suffix(".pub")]
        return FlowField(load_bundle(tmp_path / "flow", contract, trusted))

    return make


@pytest.fixture
def field(load: Callable[..., FlowField]) -> FlowField:
    return load()


def arguments(count: int, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
    """context, x, tau, target and weight."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal(C, np.float32),
        rng.standard_normal((count, H, A), np.float32),
        rng.random((count, H), np.float32),
        rng.standard_normal((count, H, A), np.float32),
        rng.random(H, np.float32),
    )


@pytest.mark.parametrize("count", [1, 7])
def test_velocity_and_correction_are_the_graphs(field: FlowField, count: int) -> None:
    context, x, tau, target, weight = arguments(count)
    velocity, correction = field.velocity_and_correction(context, x, tau, target, weight)
    time = tau[:, :, None].astype(np.float64)
    wanted = SLOPE * x * time + context[0]
    error = (target - (x + (1 - time) * wanted)) * weight[:, None]
    assert velocity.dtype == correction.dtype == np.float32
    assert np.allclose(velocity, wanted, rtol=0, atol=1e-6)
    assert np.allclose(correction, (1 + SLOPE * (1 - time) * time) * error, rtol=0, atol=1e-6)
    assert np.array_equal(field.velocity(context, x, tau), velocity)


def test_the_context_is_the_graphs(field: FlowField, contract: Contract) -> None:
    observation = observation_of(contract)
    observation["state"] += np.arange(6, dtype=np.float32)
    observation["reference"] -= np.arange(5, dtype=np.float32)
    wanted = np.concatenate([observation["state"], observation["reference"]])
    assert np.array_equal(field.context(observation), wanted)
    observation["state"][2] = np.nan
    with pytest.raises(InputError, match="state: is not finite"):
        field.context(observation)


@given(seed=st.integers(0, 2**31))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_units_go_there_and_back(field: FlowField, contract: Contract, seed: int) -> None:
    low, high = contract.action.minimum, contract.action.maximum
    actions = np.random.default_rng(seed).uniform(low, high, (2, H, A)).astype(np.float32)
    x = field.normalised(actions)
    wanted = (actions - np.array(FLOW.action_mean)) / np.array(FLOW.action_spread)
    assert x.dtype == np.float32 and np.allclose(x, wanted, rtol=1e-5, atol=1e-6)
    assert np.allclose(field.actions(x), actions, rtol=0, atol=1e-7)


def test_actions_stay_inside_the_bounds(field: FlowField, contract: Contract) -> None:
    low, high = (v.astype(np.float32) for v in (contract.action.minimum, contract.action.maximum))
    wild = np.array([[1e3] * A, [-1e3] * A, [0.0] * A], np.float32)
    actions = field.actions(wild)
    assert actions.dtype == np.float32
    assert np.array_equal(actions[0], high) and np.array_equal(actions[1], low)
    assert np.array_equal(actions[2], np.array(FLOW.action_mean, np.float32))


def test_the_teachers_steps_are_the_manifests(field: FlowField) -> None:
    assert field.steps == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.update(context=a["context"][:-1]), r"context: is float32\[1, 10\]"),
        (lambda a: a.update(context=a["context"] * np.float32(np.nan)), "context: is not finite"),
        (lambda a: a.update(x=a["x"][:, :8]), "x: is float32"),
        (lambda a: a.update(x=a["x"].astype(np.float64)), "x: is float64"),
        (lambda a: a.update(x=a["x"][:0]), "x: is float32"),
        (lambda a: a.update(tau=a["tau"][:1]), "tau: has not one row for each x"),
        (lambda a: a.update(tau=a["tau"] + np.float32(1)), "tau: is outside 0 to 1"),
        (lambda a: a.update(tau=-a["tau"]), "tau: is outside 0 to 1"),
        (lambda a: a.update(target=a["target"][:2]), "target: has not one chunk for each x"),
        (lambda a: a.update(target=a["target"] / np.float32(0)), "target: is not finite"),
        (lambda a: a.update(weight=a["weight"][:-1]), "weight: is float32"),
        (lambda a: a.update(weight=-a["weight"]), "weight: is negative"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    field: FlowField, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    names = ("context", "x", "tau", "target", "weight")
    given_arguments = dict(zip(names, arguments(3), strict=True))
    field.velocity_and_correction(**given_arguments)
    with np.errstate(divide="ignore"):
        change(given_arguments)
    with pytest.raises(InputError, match=said):
        field.velocity_and_correction(**given_arguments)


def test_a_bundle_without_a_teacher_is_refused(
    load: Callable[..., FlowField], contract: Contract
) -> None:
    with pytest.raises(InputError, match=r"manifest\.json: declares no flow"):
        load(flow=None)


@pytest.mark.parametrize("name", [CONTEXT, FIELD, VELOCITY])
def test_a_missing_graph_is_refused_by_name(
    load: Callable[..., FlowField], contract: Contract, name: str
) -> None:
    files = {
        CONTEXT: context_model(contract),
        FIELD: field_model(),
        VELOCITY: velocity_model(),
    }
    del files[name]
    with pytest.raises(InputError, match=f"{name}: is not in the bundle"):
        load(files)


def test_scales_for_other_axes_are_refused(load: Callable[..., FlowField]) -> None:
    flow = FLOW.model_copy(update={"action_spread": [0.01] * 4})
    with pytest.raises(InputError, match=r"flow\.action_spread: has 4 axes, the contract 5"):
        load(flow=flow)


def test_a_context_of_another_size_than_the_fields_is_refused(
    load: Callable[..., FlowField], contract: Contract
) -> None:
    files = {CONTEXT: context_model(contract, size=C - 1), FIELD: field_model()}
    with pytest.raises(InputError, match=r"field\.onnx: input 'context' is .*\[batch, 10\]"):
        load(files)


def test_a_field_that_is_not_finite_is_refused_at_load(
    load: Callable[..., FlowField], contract: Contract
) -> None:
    field = field_model(
        constants={
            "last": np.array([2], np.int64),
            "first": np.array([0], np.int64),
            "slope": np.array(np.inf, np.float32),
            "unit": np.array(1.0, np.float32),
        }
    )
    with pytest.raises(InputError, match=r"field\.onnx: gave a 'velocity' that is not finite"):
        load({CONTEXT: context_model(contract), FIELD: field, VELOCITY: velocity_model()})


def test_two_graphs_that_are_not_of_one_teacher_are_refused(
    load: Callable[..., FlowField], contract: Contract
) -> None:
    other = velocity_model(slope=SLOPE + 0.1)
    with pytest.raises(InputError, match=r"velocity\.onnx: differs from field\.onnx"):
        load({CONTEXT: context_model(contract), FIELD: field_model(), VELOCITY: other})
