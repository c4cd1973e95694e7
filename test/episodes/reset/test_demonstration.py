"""A demonstration's joints as ways between motions of its gripper."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.episodes.reset.demonstration import Demonstration, drawn_share, pieces_until


def recorded() -> Demonstration:
    """Down, close at rest, up: 40 rows each, on one of two joints."""
    down, up = np.linspace(0.0, 1.0, 40), np.linspace(1.0, 0.2, 40)
    first = np.concatenate([down, np.ones(40), up])
    joints = np.stack([first, np.zeros_like(first)], axis=1)
    closing = np.concatenate([np.linspace(0.08, 0.04, 20), np.full(20, 0.04)])
    widths = np.concatenate([np.full(40, 0.08), closing, np.full(40, 0.04)])
    return Demonstration("demo", joints, widths)


def test_the_gripper_closes_before_the_arm_goes_up() -> None:
    pieces = pieces_until(recorded(), 1.0)
    assert [round(piece.width or 0.0, 3) for piece in pieces] == [0.04, 0.04]
    assert pieces[0].way[-1, 0] == 1.0
    assert pieces[1].way[0, 0] == 1.0
    assert abs(pieces[1].way[-1, 0] - 0.2) < 1e-12


def test_it_ends_at_the_share() -> None:
    pieces = pieces_until(recorded(), 0.25)
    assert len(pieces) == 1
    assert 0.7 < pieces[0].way[-1, 0] < 0.8
    assert pieces_until(recorded(), 0.0)[0].way.shape == (1, 2)


def test_no_gripper_is_one_way() -> None:
    without = recorded()._replace(widths=None)
    (piece,) = pieces_until(without, 1.0)
    assert piece.width is None
    assert abs(piece.way[-1, 0] - 0.2) < 1e-12


def test_the_share_is_drawn_from_the_seed() -> None:
    shares = {drawn_share(0.6, seed) for seed in range(50)}
    assert len(shares) == 50 and max(shares) <= 0.6
    assert drawn_share(0.6, 4) == drawn_share(0.6, 4)
