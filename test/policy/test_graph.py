"""A graph that does not fit is refused in one line, when it is opened or when it is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_writer import Value, model, node, observation_of, outside_constant

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.graph import (
    Graph,
    Port,
    batch_of,
    observation_feed,
    stream_ports,
)

Make = Callable[..., Path]
NAME = "sum.onnx"
INPUTS = {"a": Port("float32", (2, 3)), "b": Port("float32", (2, None))}
OUTPUTS = {"total": Port("float32", (2, 3)), "half": Port("float32", (2, 3))}
_ANY: Value = ("float32", ["batch", 2, 3])


def sum_model(**changes: Any) -> bytes:
    """total = a + b and half = total / 2, with changed parts."""
    parts: dict[str, Any] = {
        "inputs": {"a": _ANY, "b": _ANY},
        "outputs": {"total": _ANY, "half": _ANY},
        "nodes": [node("Add", ["a", "b"], "total"), node("Mul", ["total", "gain"], "half")],
        "constants": {"gain": np.array(0.5, np.float32)},
    }
    return model(**{**parts, **changes})


@pytest.fixture
def opened(make_bundle: Make, contract: Contract, trusted: list[Path]) -> Callable[..., Graph]:
    def make(data: bytes | None, threads: int = 1) -> Graph:
        files = {} if data is None else {NAME: data}
        bundle = load_bundle(make_bundle(files=files), contract, trusted)
        return Graph(bundle, NAME, INPUTS, OUTPUTS, threads)

    return make


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line and NAME in line and "; " in line
    return line


def test_it_computes_the_wanted_outputs(opened: Callable[..., Graph]) -> None:
    graph = opened(sum_model())
    assert graph.inputs["b"] == Port("float32", (2, 3))  # what was any size is known now
    rng = np.random.default_rng(0)
    for batch in (1, 4):
        feed = {key: rng.standard_normal((batch, 2, 3), np.float32) for key in "ab"}
        half, total = graph.run(feed, ["half", "total"], batch)
        assert np.array_equal(total, feed["a"] + feed["b"])
        assert np.array_equal(half, total / 2)
        (alone,) = graph.run(feed, ["half"], batch)
        assert np.array_equal(alone, half)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": {"a": _ANY}}, "is no model that onnxruntime loads"),
        ({"inputs": {"a": _ANY, "b": _ANY, "c": _ANY}}, "input 'c' is unknown"),
        ({"outputs": {"total": _ANY}}, "output 'half' is missing"),
        (
            {"inputs": {"a": _ANY, "b": ("float32", [1, 2, 3])}},
            r"input 'b' is tensor\(float\) \[1, 2, 3\], not tensor\(float\) \[batch, 2, any\]",
        ),
        (
            {"inputs": {"a": ("float32", ["batch", 2, 1]), "b": _ANY}},
            r"input 'a' is .*\[batch, 2, 3\]",
        ),
        ({"inputs": {"a": _ANY, "b": ("float32", ["batch", 2, "n"])}}, "input 'b' is"),
        ({"inputs": {"a": _ANY, "b": ("float32", ["batch", 3])}}, "input 'b' is"),
        (
            {
                "inputs": {"a": ("float64", ["batch", 2, 3]), "b": ("float64", ["batch", 2, 3])},
                "outputs": {"total": ("float64", ["batch", 2, 3]), "half": ("float64", [2, 3])},
                "constants": {"gain": np.array(0.5)},
            },
            r"input 'a' is tensor\(double\)",
        ),
    ],
)
def test_another_interface_is_refused_at_load(
    opened: Callable[..., Graph], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        opened(sum_model(**changes))
    assert "\n" not in str(caught.value) and NAME in str(caught.value)


def test_a_missing_file_and_no_graph_are_refused(opened: Callable[..., Graph]) -> None:
    assert "is not in the bundle" in refusal(lambda: opened(None))


def test_what_is_no_graph_is_refused(opened: Callable[..., Graph]) -> None:
    assert "no model that onnxruntime loads" in refusal(lambda: opened(b"no graph"))


def test_weights_in_another_file_are_refused(
    opened: Callable[..., Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the graph is signed: what lies beside it could be anybody's."""
    np.arange(9, dtype=np.float32).tofile(tmp_path / "gain.bin")
    monkeypatch.chdir(tmp_path)
    data = sum_model(
        nodes=[node("Add", ["a", "b"], "total"), node("MatMul", ["total", "gain"], "half")],
        constants={},
        outside=[outside_constant("gain", [3, 3], "gain.bin")],
    )
    onnxruntime.InferenceSession(data)  # which takes them from the working folder by itself
    assert "no model that onnxruntime loads" in refusal(lambda: opened(data))


def test_no_thread_is_refused(opened: Callable[..., Graph]) -> None:
    with pytest.raises(InputError, match="threads: is 0"):
        opened(sum_model(), threads=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_refused(opened: Callable[..., Graph], bad: float) -> None:
    graph = opened(sum_model())
    feed = {key: np.ones((2, 2, 3), np.float32) for key in "ab"}
    feed["b"][1, 0, 2] = bad
    assert "'half' that is not finite" in refusal(lambda: graph.run(feed, ["half"], 2))


def test_another_number_of_rows_than_asked_for_is_refused(opened: Callable[..., Graph]) -> None:
    graph = opened(sum_model())
    feed = {key: np.ones((2, 2, 3), np.float32) for key in "ab"}
    assert "gave 'half' as [2, 2, 3]" in refusal(lambda: graph.run(feed, ["half"], 3))


def test_a_graph_that_fails_when_it_is_run_is_refused(opened: Callable[..., Graph]) -> None:
    graph = opened(sum_model())
    feed = {"a": np.ones((2, 2, 3), np.float32), "b": np.ones((3, 2, 3), np.float32)}
    assert "fails when it is run" in refusal(lambda: graph.run(feed, ["half"], 2))


def test_streams_become_inputs_of_one_row(contract: Contract) -> None:
    ports, observation = stream_ports(contract), observation_of(contract)
    assert list(ports) == [s.key for s in contract.streams]
    assert ports["image_wrist"] == Port("uint8", (64, 64, 3))
    assert ports["state"] == Port("float32", (6,))
    feed = observation_feed(contract, observation)
    for key, port in ports.items():
        assert feed[key].shape == (1, *port.shape) and feed[key].dtype.name == port.dtype
        assert np.array_equal(feed[key][0], observation[key])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_observation_that_is_not_finite_is_refused(contract: Contract, bad: float) -> None:
    observation = observation_of(contract)
    observation["reference"][1] = bad
    with pytest.raises(InputError, match="reference: is not finite"):
        observation_feed(contract, observation)


@given(rows=st.integers(1, 5), shape=st.lists(st.integers(1, 3), max_size=3))
def test_rows_are_counted(rows: int, shape: list[int]) -> None:
    assert batch_of("x", np.ones((rows, *shape), np.float32), shape) == rows


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ones((2, 4), np.float32), r"is float32\[2, 4\], not float32\[N, 3\]"),
        (np.ones((2, 3)), "is float64"),
        (np.ones((0, 3), np.float32), r"is float32\[0, 3\]"),
        (np.float32(1.0).reshape(()), r"is float32\[\]"),
        (np.array([[1, np.nan, 1]], np.float32), "is not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(value: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=f"x: {said}"):
        batch_of("x", value, (3,))
