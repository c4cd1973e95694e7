"""What the filter's tick is measured against: the library calls that it cannot do without."""

from __future__ import annotations

import importlib
import importlib.util
from time import perf_counter_ns
from typing import Any

import daqp
import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.subjects import Subject
from vla_rl_nodes.safety.geometry import build_shape

Array = NDArray[np.float64]

VARIABLES, ROWS = 7, 40  # of the quadratic programme
FREE = 1e30  # daqp's infinity


def bare_calls(subject: Subject, places: list[Array], rounds: int = 2000) -> dict[str, float]:
    """Median time of each bare call and of all together, us, at ``places``.

    One forward kinematics of all frames, one distance of every pair of shapes (pinocchio and
    coal), one quadratic programme of 7 variables and 40 two-sided rows (DAQP), and, where the
    package is installed, one Ruckig stop.
    """
    shape = build_shape(subject.robot, subject.limits)
    model, geometry = shape.model, shape.geometry
    data, shapes = model.createData(), geometry.createData()
    random = np.random.default_rng(0)
    problems = [_problem(random) for _ in range(20)]
    stop = _ruckig_stop(subject)
    times: dict[str, list[int]] = {"fk": [], "distances": [], "qp": []}
    if stop is not None:
        times["ruckig_stop"] = []
    for i in range(rounds):
        q = places[i % len(places)]
        begun = perf_counter_ns()
        pinocchio.framesForwardKinematics(model, data, q)
        after_fk = perf_counter_ns()
        pinocchio.computeDistances(model, data, geometry, shapes, q)
        after_distances = perf_counter_ns()
        daqp.solve(*problems[i % len(problems)])
        after_qp = perf_counter_ns()
        times["fk"].append(after_fk - begun)
        times["distances"].append(after_distances - after_fk)
        times["qp"].append(after_qp - after_distances)
        if stop is not None:
            begun = perf_counter_ns()
            stop(q)
            times["ruckig_stop"].append(perf_counter_ns() - begun)
    found = {name: round(float(np.median(took)) / 1e3, 2) for name, took in times.items()}
    return {**found, "pairs": float(len(shape.pairs)), "all": round(sum(found.values()), 2)}


def _problem(random: np.random.Generator) -> tuple[Array, ...]:
    rows = random.standard_normal((ROWS - VARIABLES, VARIABLES))
    width = random.uniform(0.2, 1.0, ROWS)
    return (
        np.eye(VARIABLES),
        random.standard_normal(VARIABLES),
        np.ascontiguousarray(rows),
        width,
        -width,
        np.zeros(ROWS, dtype=np.int32),
    )


def _ruckig_stop(subject: Subject) -> Any:
    """A stop from a tenth of the velocity limits; None without Ruckig."""
    if importlib.util.find_spec("ruckig") is None:
        return None
    ruckig = importlib.import_module("ruckig")
    joints = len(subject.robot.joints)
    wanted = ruckig.InputParameter(joints)
    wanted.control_interface = ruckig.ControlInterface.Velocity
    wanted.current_velocity = (0.1 * subject.bounds.v_max).tolist()
    wanted.current_acceleration = [0.0] * joints
    wanted.target_velocity = wanted.target_acceleration = [0.0] * joints
    wanted.max_acceleration = subject.bounds.a_max.tolist()
    wanted.max_jerk = subject.bounds.j_max.tolist()
    solver, way = ruckig.Ruckig(joints), ruckig.Trajectory(joints)

    def stop(q: Array) -> None:
        wanted.current_position = q.tolist()
        solver.calculate(wanted, way)

    return stop
