"""Guidance against a reference written from the paper: float64, loops, an explicit Jacobian."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.chunking.strategies.flow_sampling import guidance_weight, guided_flow, soft_mask

Single = NDArray[np.float32]
Double = NDArray[np.float64]


class RandomField:
    """v(x, τ) = C·tanh(A·x + b·τ + e), whose Jacobian is known in closed form."""

    def __init__(self, length: int, axes: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        size, hidden = length * axes, 24
        self.shape = (length, axes)
        self.A = rng.standard_normal((hidden, size)) / math.sqrt(size)
        self.C = rng.standard_normal((size, hidden)) / math.sqrt(hidden)
        self.b, self.e = rng.standard_normal(hidden), rng.standard_normal(hidden)

    def in_double(self, x: Double, tau: float) -> tuple[Double, Double]:
        """Velocity [H*A] and its whole Jacobian [H*A, H*A]."""
        hidden = np.tanh(self.A @ x + self.b * tau + self.e)
        return self.C @ hidden, self.C @ np.diag(1.0 - hidden**2) @ self.A

    def velocity(self, x: Single, tau: float) -> Single:
        hidden = np.tanh(self.A.astype(np.float32) @ x.ravel() + self._bias(tau))
        return (self.C.astype(np.float32) @ hidden).reshape(self.shape)

    def velocity_and_correction(
        self, x: Single, tau: float, target: Single, weight: Single
    ) -> tuple[Single, Single]:
        A, C = self.A.astype(np.float32), self.C.astype(np.float32)
        hidden = np.tanh(A @ x.ravel() + self._bias(tau))
        velocity = (C @ hidden).reshape(self.shape)
        rest = np.float32(1.0 - tau)
        error = ((target - (x + rest * velocity)) * weight[:, None]).ravel()
        pulled = error + rest * (A.T @ ((1 - hidden**2) * (C.T @ error)))
        return velocity, pulled.reshape(self.shape)

    def _bias(self, tau: float) -> Single:
        return (self.b * tau + self.e).astype(np.float32)


def reference(
    field: RandomField,
    noise: Double,
    last: Double,
    delay: int,
    executed: int,
    steps: int,
    largest: float,
    full: bool,
) -> Double:
    """Algorithm 1 of arXiv 2506.07339, row by row; ``last`` is the chunk from the request on."""
    length, axes = field.shape
    weights = []
    for i in range(length):
        if i < delay:
            weights.append(1.0)
        elif i < length - executed:
            c = (length - executed - i) / (length - executed - delay + 1)
            weights.append(c * (math.exp(c) - 1) / (math.e - 1))
        else:
            weights.append(0.0)
    W = np.repeat(weights, axes)
    Y = np.zeros(length * axes)
    Y[: last.size] = last.ravel()
    x = noise.ravel().copy()
    for k in range(steps):
        tau = k / steps
        v, J_v = field.in_double(x, tau)
        estimate = x + (1 - tau) * v
        J = np.eye(len(x)) + (1 - tau) * J_v if full else np.eye(len(x))
        g = J.T @ ((Y - estimate) * W)
        if tau == 0.0:
            weight = largest
        else:
            r2 = (1 - tau) ** 2 / (tau**2 + (1 - tau) ** 2)
            weight = min(largest, (1 - tau) / (tau * r2))
        x = x + (v + weight * g) / steps
    return x.reshape(length, axes)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_guidance_equals_the_reference(data: st.DataObject) -> None:
    length = data.draw(st.integers(2, 24), label="H")
    executed = data.draw(st.integers(1, length), label="s")
    delay = data.draw(st.integers(0, min(executed, length - executed)), label="d")
    axes = data.draw(st.integers(1, 4), label="A")
    steps = data.draw(st.integers(1, 12), label="n")
    largest = data.draw(st.floats(0.5, 10.0), label="beta")
    full = data.draw(st.booleans(), label="full Jacobian")
    seed = data.draw(st.integers(0, 2**31), label="seed")
    rng = np.random.default_rng(seed)
    field = RandomField(length, axes, seed)
    noise = rng.standard_normal((length, axes)).astype(np.float32)
    last = rng.standard_normal((length - executed, axes)).astype(np.float32)
    target = np.zeros((length, axes), np.float32)
    target[: len(last)] = last
    given_chunk = guided_flow(
        field,
        noise,
        target,
        soft_mask(length, delay, executed),
        steps=steps,
        largest_weight=largest,
        jacobian="full" if full else "identity",
    )
    wanted = reference(
        field, noise.astype(float), last.astype(float), delay, executed, steps, largest, full
    )
    # Guidance can push a random field far out; the error is measured against its size.
    scale = max(1.0, float(np.abs(wanted).max()))
    assert np.abs(given_chunk - wanted).max() / scale < 1e-5


def test_the_two_jacobian_modes_differ() -> None:
    field, rng = RandomField(8, 2, 0), np.random.default_rng(0)
    noise, target = rng.standard_normal((2, 8, 2)).astype(np.float32)
    mask = soft_mask(8, 2, 3)
    chunks = [
        guided_flow(field, noise, target, mask, steps=5, largest_weight=5.0, jacobian=mode)
        for mode in ("full", "identity")
    ]
    assert np.abs(chunks[0] - chunks[1]).max() > 0.05


def test_the_published_weights_at_five_steps() -> None:
    unclipped = [guidance_weight(k / 5, math.inf) for k in range(5)]
    assert unclipped[0] == math.inf
    assert unclipped[1:] == pytest.approx([4.25, 2.1667, 2.1667, 4.25], abs=1e-3)
    assert [guidance_weight(k / 5, 5.0) for k in range(2)] == [5.0, pytest.approx(4.25)]


def test_guidance_pulls_the_committed_rows_towards_the_last_chunk() -> None:
    rng = np.random.default_rng(1)
    field = RandomField(16, 2, 1)
    noise = rng.standard_normal((16, 2)).astype(np.float32)
    target = rng.standard_normal((16, 2)).astype(np.float32)

    def error(weight: Single) -> float:
        chunk = guided_flow(
            field, noise, target, weight, steps=5, largest_weight=5.0, jacobian="full"
        )
        return float(np.abs(chunk[:4] - target[:4]).mean())

    assert error(soft_mask(16, 4, 4)) < 0.3 * error(np.zeros(16, np.float32))


@pytest.mark.parametrize(("length", "delay", "executed"), [(16, 4, 6), (8, 0, 1), (50, 10, 25)])
def test_the_mask_is_one_then_falls_to_zero(length: int, delay: int, executed: int) -> None:
    mask = soft_mask(length, delay, executed)
    assert (mask[:delay] == 1).all()
    assert (np.diff(mask[max(delay - 1, 0) : length - executed + 1]) < 0).all()
    assert (mask[length - executed :] == 0).all()
