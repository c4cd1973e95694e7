"""Rows of demonstrations: committed actions as they were planned, and how the expert goes on."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.sim.plane.demonstrations import (
    MAX_DELAY,
    DemonstrationSettings,
    Rows,
    demonstrations,
)
from vla_rl_nodes.sim.plane.expert import Expert
from vla_rl_nodes.sim.plane.state import NAMES, PERIOD_S, PlaneState
from vla_rl_nodes.sim.plane.world import GREATEST_ACTION

AT = {name: index for index, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def rows() -> Rows:
    return demonstrations(300, 7)


def pair(rows: Rows, name: str) -> np.ndarray:
    return rows.state[:, [AT[f"{name}_x"], AT[f"{name}_y"]]].astype(np.float64)


def rebuilt(rows: Rows) -> PlaneState:
    """The states of the rows from their observations alone."""
    return PlaneState(
        tool=pair(rows, "tool"),
        reference=pair(rows, "reference"),
        action=pair(rows, "action"),
        earlier=pair(rows, "earlier_action"),
        goal=pair(rows, "object"),
        velocity=pair(rows, "object_velocity") * PERIOD_S,
        obstacle=pair(rows, "obstacle"),
        blocked=rows.state[:, AT["obstacle_present"]] > 0.5,
        task=rows.state[:, AT["task_kick"] :].argmax(axis=1),
    )


def test_shapes_and_bounds(rows: Rows) -> None:
    contract = load_contract("plane")
    count = len(rows)
    assert count >= 300 * DemonstrationSettings().ticks
    assert rows.state.shape == (count, *contract.streams[0].shape)
    assert rows.chunk.shape == (count, contract.action.chunk_length, 2)
    assert rows.state.dtype == rows.chunk.dtype == np.float32
    assert np.abs(rows.chunk).max() <= np.float32(GREATEST_ACTION)
    assert np.isfinite(rows.state).all()
    assert np.array_equal(np.unique(rows.episode), np.arange(300))


def test_the_same_seed_gives_the_same_rows(rows: Rows) -> None:
    again, other = demonstrations(300, 7), demonstrations(300, 8)
    assert np.array_equal(rows.chunk, again.chunk)
    assert np.array_equal(rows.state, again.state)
    assert not np.array_equal(rows.chunk[:300], other.chunk[:300])


def test_every_delay_is_there_as_asked(rows: Rows) -> None:
    shares = np.bincount(rows.delay, minlength=MAX_DELAY + 1) / len(rows)
    assert np.allclose(shares, DemonstrationSettings().delays, atol=0.03)


def test_the_label_follows_from_observation_and_prefix(rows: Rows) -> None:
    """What a policy is asked to learn is a function of what it is given."""
    now = rebuilt(rows)
    committed = rows.chunk.astype(np.float64)
    plans = [
        Expert().continuation(now, committed, rows.delay, np.full(len(rows), chance))
        for chance in (1e-6, 1.0 - 1e-6)
    ]
    apart = [np.abs(plan - committed).max(axis=(1, 2)) for plan in plans]
    near = np.minimum(*apart)
    # float32 in the observation; and at the start, a choice that was not free all the way.
    assert np.percentile(near, 99) < 1e-4
    decided = np.abs(plans[0] - plans[1]).max(axis=(1, 2)) < 1e-9
    assert decided[now.task != 2].all()
    assert 0.03 < (~decided[now.task == 2]).mean() < 0.6


def test_some_prefixes_are_stale(rows: Rows) -> None:
    """After a kick the committed actions are not what the expert would do now."""
    now = rebuilt(rows)
    nothing = np.zeros(rows.chunk.shape)
    fresh = Expert().continuation(
        now, nothing, np.zeros(len(rows), np.int64), np.full(len(rows), 0.5)
    )
    late = (rows.delay >= 4) & (now.task == 0)
    committed = np.arange(16) < rows.delay[:, None]
    apart = np.linalg.norm((rows.chunk - fresh) * committed[:, :, None], axis=2).max(axis=1)
    assert 0.1 < (apart[late] > 0.005).mean() < 0.7


def test_both_ways_round_are_demonstrated(rows: Rows) -> None:
    two = (rebuilt(rows).task == 2) & (rows.delay == 0)
    at_rest = two & (np.abs(rows.state[:, AT["action_x"]]) < 1e-9)
    ahead = pair(rows, "obstacle") - pair(rows, "reference")
    turned = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    aside = (rows.chunk.sum(axis=1) * turned).sum(axis=1)[at_rest]
    assert len(aside) > 100
    assert 0.35 < (aside > 0).mean() < 0.65
