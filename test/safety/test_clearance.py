"""Distances against MuJoCo's, their rows against differences, their bounds against samples."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import Obstacle, Plane, SafetyLimits, load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.sim.model import build_model
from vla_rl_nodes.sim.scene import load_scene

from .shaped import clearance, limits, robot, tool_at


def configurations(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(robot().position_min, robot().position_max, (count, 7))


def test_distances_agree_with_the_simulators_own() -> None:
    """MuJoCo reads the same URDF by itself; fingers are left out, ours are what they sweep."""
    model = build_model(robot(), load_scene("franka_pick"))
    data = mujoco.MjData(model)
    addresses = [int(model.joint(name).qposadr[0]) for name in robot().joints]
    of = clearance()
    links = {b: [g for g in range(model.ngeom) if model.geom_bodyid[g] == b]
             for b in range(model.nbody)}  # fmt: skip
    table = [g for g in links[0] if model.geom(g).name.startswith("table")]
    assert table
    compared = 0
    for q in configurations(25):
        data.qpos[addresses] = q
        mujoco.mj_forward(model, data)
        ours = of.distances(q)
        best: dict[tuple[str, str], float] = {}
        for names, distance in zip(of.names, ours, strict=True):
            best[names] = min(best.get(names, np.inf), float(distance))
        for (one, other), distance in best.items():
            if "finger" in one + other or distance < 0.0 or distance > 0.9:
                continue
            second = table if other == "table" else links[model.body(other).id]
            pairs = [(a, b) for a in links[model.body(one).id] for b in second]
            theirs = min(mujoco.mj_geomDistance(model, data, a, b, 1.0, None) for a, b in pairs)
            if other == "table" and theirs > 0.05:
                continue  # the simulator's table has edges, ours is a plane
            assert distance == pytest.approx(theirs, abs=1e-4), (one, other)
            compared += 1
    assert compared > 300


def test_rows_are_the_gradient_of_the_distances() -> None:
    of = clearance()
    rng = np.random.default_rng(1)
    checked = 0
    for q in configurations(60):
        rows, distances = of.rows(q, 0.15), of.distances(q)
        near = np.flatnonzero(distances - of.margins < 0.15)
        assert set(rows.pairs.tolist()) == set(near.tolist())
        assert rows.reasons == tuple(of.reasons[pair] for pair in rows.pairs)
        step = rng.normal(size=7) * 1e-4
        change = (of.distances(q + step) - of.distances(q - step)) / 2
        for jacobian, room, pair in zip(rows.jacobian, rows.room, rows.pairs, strict=True):
            lowest = room <= rows.room[rows.pairs == pair].min() + 1e-9
            if distances[pair] < 0.005 or not lowest:
                continue  # overlapping or about to, where nearest points leap; another corner
            assert room == pytest.approx(distances[pair] - of.margins[pair], abs=5e-6)
            assert jacobian @ step == pytest.approx(change[pair], abs=4e-6)
            checked += 1
    assert checked > 100


def test_a_face_that_lies_flat_over_a_plane_has_a_row_for_each_corner() -> None:
    of = clearance()
    q = tool_at(0.5, 0.0, 0.02)
    rows = of.rows(q, 0.03)
    fingers = next(k for k, (one, other) in enumerate(of.names)
                   if "finger" in one and other == "table")  # fmt: skip
    corners = rows.jacobian[rows.pairs == fingers]
    assert len(corners) == 4
    room = of.distances(q)[fingers] - of.margins[fingers]
    np.testing.assert_allclose(rows.room[rows.pairs == fingers], room, atol=1e-5)
    # Whichever way the tool tilts, one of the corners comes down.
    for joint, turn in ((5, 1e-3), (5, -1e-3)):
        step = np.zeros(7)
        step[joint] = turn
        moved = of.distances(q + step)[fingers] - of.distances(q)[fingers]
        assert (corners @ step).min() == pytest.approx(moved, abs=3e-6)


def test_no_distance_changes_faster_than_the_levers_say() -> None:
    of = clearance()
    rng = np.random.default_rng(2)
    for q in configurations(150):
        step = rng.normal(size=7) * 0.05
        change = np.abs(of.distances(q + step) - of.distances(q))
        assert (change <= of._levers @ np.abs(step) + 2e-6).all()


def test_a_path_is_too_close_exactly_when_a_sample_of_it_is() -> None:
    rng = np.random.default_rng(3)
    of, seen = clearance(), {True: 0, False: 0}
    for q in configurations(400, seed=4):
        if (of.distances(q) - of.margins).min() < 0.0:
            continue
        of.restart(q)
        path = q + np.linspace(0, 1, 12)[:, None] * rng.normal(size=7) * 0.3
        fine = np.array([of.distances(row) - of.margins for row in path[1:]])
        worst = float(fine.min())
        if abs(worst) < 0.002:
            continue  # between two rows of the path it may be either
        found = of.too_close(path)
        if worst < 0.0:
            assert found is not None
            first = int(np.flatnonzero((fine < 0.0).any(axis=1))[0]) + 1
            assert min(found.rows) <= first
        elif found is not None:
            # It may see between the rows what the rows do not show.
            between = (path[:-1] + path[1:]) / 2
            assert min((of.distances(row) - of.margins).min() for row in between) < 0.003
        seen[worst < 0.0] += 1
    assert seen[True] > 20 and seen[False] > 50


def test_what_is_too_close_already_may_only_move_away() -> None:
    q = tool_at(0.5, 0.0, 0.009)  # the fingers touch the table
    of = clearance()
    of.restart(q)
    low, high = tool_at(0.5, 0.0, 0.006), tool_at(0.5, 0.0, 0.02)
    closer = of.too_close(np.array([q, (q + low) / 2, low]))
    assert closer is not None and closer.reasons is Reason.COLLISION
    assert of.too_close(np.array([q, (q + high) / 2, high])) is None


def test_creeping_towards_a_margin_adds_up_to_nothing() -> None:
    q, low = tool_at(0.5, 0.0, 0.009), tool_at(0.5, 0.0, 0.0085)
    of = clearance()
    of.restart(q)
    step, taken = (low - q) / 1000.0, 0
    for _ in range(1000):
        if of.too_close(np.array([q, q + step])) is not None:
            break
        q, taken = q + step, taken + 1
    assert taken <= 10


def with_things(**things: object) -> SafetyLimits:
    return SafetyLimits.model_validate(limits().model_dump() | things)


def test_a_reserve_is_added_but_never_more_than_the_margin() -> None:
    of = clearance()
    extra = of.reserved(0.002) - of.margins
    np.testing.assert_allclose(extra, np.minimum(of.margins, 0.002))
    assert extra.min() < 0.002 < 2 * extra.max()
    q = tool_at(0.5, 0.0, 0.03)
    rooms = of.rooms(q, 0.002, 10.0)
    assert rooms is not None
    np.testing.assert_allclose(rooms, of.distances(q) - of.margins - extra, atol=5e-6)
    assert of.rooms(q + 1e-6, 0.002, -1.0) is None


def test_obstacles_and_walls_are_seen() -> None:
    box = Obstacle(name="box", centre=[0.5, 0.0, 0.2], size=[0.1, 0.1, 0.4], margin=0.02,
                   tool_margin=0.005)  # fmt: skip
    wall = Plane(name="wall", normal=[0.0, -1.0, 0.0], offset=-0.3, margin=0.02, tool_margin=0.01)
    of = Clearance(robot(), with_things(planes=[wall], obstacles=[box]))
    q = tool_at(0.5, 0.0, 0.55)
    distance = dict(zip(of.names, of.distances(q), strict=True))
    fingers = next(one for one, other in of.names if "finger" in one and other == "box")
    # The fingers reach 9 mm below the tool point; the box ends at 0.4 m.
    assert distance[fingers, "box"] == pytest.approx(0.55 - 0.009 - 0.4, abs=2e-3)
    assert distance[fingers, "wall"] == pytest.approx(0.3 - 0.0605, abs=2e-3)
    margin = dict(zip(of.names, of.margins, strict=True))
    assert margin[fingers, "box"] == 0.005 and margin["fr3_link5", "box"] == 0.02


def test_without_planes_only_the_robot_itself_is_in_its_way() -> None:
    free = SafetyLimits.model_validate(load_limits("ur5e").model_dump() | {"planes": []})
    of = Clearance(load_robot("ur5e"), free)
    assert all(reason is Reason.SELF_COLLISION for reason in of.reasons)
