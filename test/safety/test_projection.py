"""The projected step: admissible, and nearest, held against a general solver."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from vla_rl_nodes.safety.motion import Motion
from vla_rl_nodes.safety.projection import StepProjection
from vla_rl_nodes.safety.smoothing import Knot
from vla_rl_nodes.safety.stop import Plan

from .shaped import DT, admissible, clearance, limits, motion, robot, stopping, tool_at


def projection() -> StepProjection:
    return StepProjection(robot(), clearance(), limits(), stopping())


def next_plan(start: Knot, a: np.ndarray) -> Plan:
    v = start.v + (start.a + a) * DT / 2
    return stopping().plan(start.q + start.v * DT + (2 * start.a + a) * DT * DT / 6, v, a)


def pushed(towards: np.ndarray, q: np.ndarray) -> Motion:
    """A motion that has been pushed towards a joint target for a while."""
    of, reference = motion(q), q.copy()
    for _ in range(120):
        step = np.clip(towards - reference, -0.006, 0.006)
        reference = of.q + np.clip(reference + step - of.q, -0.1, 0.1)
        of.follow(reference)
    return of


def test_what_it_finds_is_admissible_and_as_near_as_a_general_solver_finds() -> None:
    """SLSQP on the same unknown, with the exact distances, box and ranges along the stop."""
    compared, worst = 0, []
    for target in ((0.75, 0.0, 0.3), (0.5, 0.42, 0.3), (0.5, -0.3, -0.05), (0.3, 0.0, 0.65)):
        q = tool_at(0.5, 0.0, 0.3)
        inside = np.clip(target, [0.27, -0.33, 0.03], [0.68, 0.33, 0.58])
        goal = tool_at(*inside) + (tool_at(*inside) - q) * 0.5
        of = pushed(goal, q)
        start = Knot(of.q, of.v, of.a)
        stops = stopping()
        check = admissible(of.q)
        wanted = np.clip((goal - of.q) * 200.0, -9.0, 9.0)
        lower, upper = stops.room(of.v, of.a, *(
            b * limits().velocity_scale for b in robot().velocity_bounds(of.q)))  # fmt: skip
        wanted = np.clip(wanted, lower, upper)
        plan = next_plan(start, wanted)
        verdict = check.verdict(start, plan)
        if not verdict.reasons:
            continue
        found = projection().nearest(start, wanted, plan, verdict.rows)
        assert found is not None
        if check.verdict(start, next_plan(start, found)).reasons:
            second = next_plan(start, found)
            found = projection().nearest(start, wanted, second, check.verdict(start, second).rows)
            assert found is not None
        assert not check.verdict(start, next_plan(start, found)).reasons

        near, box = clearance(), limits().workspace
        assert box is not None
        tolerance = limits().workspace_tolerance

        def room(a: np.ndarray) -> np.ndarray:
            rest = next_plan(start, a).q[-1]  # noqa: B023
            from_box = near.point(rest, "fr3_hand_tcp")[0]  # noqa: B023
            return np.concatenate([
                (near.distances(rest) - near.margins) * 10,  # noqa: B023
                (from_box - box.lower + tolerance) * 10,  # noqa: B023
                (box.upper + tolerance - from_box) * 10,  # noqa: B023
            ])  # fmt: skip

        answer = minimize(
            lambda a: float(((a - wanted) ** 2).sum()) / 100,  # noqa: B023
            found, bounds=list(zip(lower, upper, strict=True)), method="SLSQP",
            constraints={"type": "ineq", "fun": room}, options={"maxiter": 300, "ftol": 1e-12},
        )  # fmt: skip
        ours, theirs = np.linalg.norm(found - wanted), np.linalg.norm(answer.x - wanted)
        worst.append(ours / theirs - 1.0)
        compared += 1
    assert compared >= 3
    assert max(worst) < 0.05, worst


def test_without_room_there_is_no_answer() -> None:
    start = Knot(robot().home, np.full(7, 3.0), np.zeros(7))  # faster than any limit
    plan = next_plan(start, np.zeros(7))
    assert projection().nearest(start, np.zeros(7), plan, ()) is None
