"""256 bins an axis: the round trip, the bins' borders, and tokens that mean nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.action_tokens import ActionTokens

LOW = np.array([-0.028, -0.041, -0.026, -0.08, -0.092, -0.207, 0.0])
HIGH = np.array([0.028, 0.040, 0.040, 0.081, 0.077, 0.203, 1.0])
SCALED = np.array([True] * 6 + [False])
VOCABULARY = 32000


@pytest.fixture(scope="module")
def tokens() -> ActionTokens:
    return ActionTokens(VOCABULARY, LOW, HIGH, SCALED)


@given(st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7))
def test_round_trip_is_within_half_a_bin(shares: list[float]) -> None:
    tokens = ActionTokens(VOCABULARY, LOW, HIGH, SCALED)
    low, high = np.where(SCALED, LOW, -1.0), np.where(SCALED, HIGH, 1.0)
    action = low + np.array(shares) * (high - low)
    error = np.abs(tokens.decode(tokens.encode(action)) - action)
    half_bin = (high - low) / (2 * 255)
    assert (error <= half_bin * (1 + 1e-12)).all()


def test_every_bin_against_exact_fractions() -> None:
    """One axis from -1 to 1: bin n is [-1 + 2n/255, -1 + 2(n+1)/255), its number n + 1."""
    tokens = ActionTokens(VOCABULARY, np.array([-1.0]), np.array([1.0]), np.array([True]))
    for n in range(255):
        middle = Fraction(2 * n + 1, 255) - 1
        token = tokens.encode(np.array([float(middle)]))
        assert token.tolist() == [VOCABULARY - (n + 1)]
        assert abs(Fraction(float(tokens.decode(token)[0])) - middle) < Fraction(1, 10**15)


def test_the_ends_take_the_last_bins_as_upstream_does(tokens: ActionTokens) -> None:
    """numpy.digitize numbers 1 to 256 for 255 bins; the last number is read as the last bin."""
    assert tokens.encode(np.array([*HIGH[:6], 1.0])).tolist() == [VOCABULARY - 256] * 7
    assert tokens.encode(np.array([*LOW[:6], -1.0])).tolist() == [VOCABULARY - 1] * 7
    highest = tokens.decode(np.full(7, VOCABULARY - 256))
    np.testing.assert_array_equal(highest, tokens.decode(np.full(7, VOCABULARY - 255)))


def test_what_lies_outside_of_the_percentiles_is_cut_to_them(tokens: ActionTokens) -> None:
    np.testing.assert_array_equal(
        tokens.encode(np.full(7, 9.0)), tokens.encode(np.array([*HIGH[:6], 1.0]))
    )


def test_known_tokens() -> None:
    """Worked by hand: token 31872 is number 128, from -1 + 254/255 to -1 + 256/255: centre 0."""
    tokens = ActionTokens(VOCABULARY, np.array([-0.5]), np.array([1.5]), np.array([True]))
    assert tokens.decode(np.array([31872]))[0] == pytest.approx(0.5, abs=1e-15)
    # Number 1: centre -1 + 1/255 of the share, so low + (high - low) / 510.
    assert tokens.decode(np.array([31999]))[0] == pytest.approx(-0.5 + 2.0 / 510, abs=1e-15)


@pytest.mark.parametrize("token", [32000, 31743, 0, -1, 2**31])
def test_other_words_are_refused(tokens: ActionTokens, token: int) -> None:
    with pytest.raises(InputError, match="not one action token"):
        tokens.decode(np.array([token] + [31900] * 6))


def test_too_few_tokens_are_refused(tokens: ActionTokens) -> None:
    with pytest.raises(InputError, match="not one action token"):
        tokens.decode(np.array([31900] * 6))


@pytest.mark.parametrize(
    ("vocabulary", "low", "high", "said"),
    [
        (32000, [0.0, 0.0], [1.0], "differ in length"),
        (100, [0.0], [1.0], "a vocabulary of 100"),
        (32000, [1.0], [1.0], "low is not below high"),
    ],
)
def test_percentiles_that_cannot_be(
    vocabulary: int, low: list[float], high: list[float], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        ActionTokens(vocabulary, np.array(low), np.array(high), np.array([True]))
