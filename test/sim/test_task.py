"""The lift predicate and its edge cases."""

from __future__ import annotations

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.task import LiftPredicate, TaskStatus, lift_predicate
from vla_rl_nodes.sim.world import World

NAMES = ("joint", "cube_z")


@pytest.fixture
def predicate() -> LiftPredicate:
    return LiftPredicate("cube_z", resting_m=0.02, lift_m=0.10, hold_s=0.5)


def feed(predicate: LiftPredicate, samples: list[tuple[float, float]]) -> TaskStatus:
    status = TaskStatus(False, 0.0, 0.0)
    for time, height in samples:
        status = predicate.observe(time, NAMES, (1.0, height))
    return status


def at_50_hz(begin: float, end: float, height: float) -> list[tuple[float, float]]:
    first, last = round(begin * 50), round(end * 50)
    return [(tick * 0.02, height) for tick in range(first, last + 1)]


def test_success_after_half_a_second_above(predicate: LiftPredicate) -> None:
    status = feed(predicate, at_50_hz(0.0, 0.48, 0.121))
    assert not status.success and status.reward == 0.0
    status = feed(predicate, [(0.50, 0.121)])
    assert status.success and status.reward == 1.0


def test_exactly_ten_centimetres_counts(predicate: LiftPredicate) -> None:
    assert feed(predicate, at_50_hz(0.0, 0.5, 0.02 + 0.10)).success


def test_just_below_never_counts(predicate: LiftPredicate) -> None:
    assert not feed(predicate, at_50_hz(0.0, 3.0, 0.1199)).success


def test_a_dip_starts_the_hold_again(predicate: LiftPredicate) -> None:
    feed(predicate, [*at_50_hz(0.0, 0.4, 0.15), (0.42, 0.11)])
    status = feed(predicate, at_50_hz(0.44, 0.92, 0.15))
    assert not status.success
    assert feed(predicate, [(0.94, 0.15)]).success


def test_success_is_latched_until_reset(predicate: LiftPredicate) -> None:
    feed(predicate, at_50_hz(0.0, 0.5, 0.15))
    status = feed(predicate, [(0.52, 0.02)])
    assert status.success and status.reward == 1.0 and status.lifted_s == 0.0
    predicate.reset()
    assert not feed(predicate, at_50_hz(0.0, 0.48, 0.15)).success


def test_a_gap_without_samples_does_not_count_as_held(predicate: LiftPredicate) -> None:
    assert not feed(predicate, [(0.0, 0.15), (0.7, 0.15)]).success
    assert feed(predicate, at_50_hz(0.72, 1.2, 0.15)).success


def test_same_time_twice_is_allowed_and_time_going_back_is_not(predicate: LiftPredicate) -> None:
    feed(predicate, [(1.0, 0.15), (1.0, 0.15)])
    with pytest.raises(InputError, match="time went back"):
        feed(predicate, [(0.98, 0.15)])


@pytest.mark.parametrize("sample", [(float("nan"), 0.1), (0.0, float("nan")), (0.0, float("inf"))])
def test_not_finite_is_refused(predicate: LiftPredicate, sample: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="not finite"):
        feed(predicate, [sample])


def test_missing_height_is_refused(predicate: LiftPredicate) -> None:
    with pytest.raises(InputError, match="cube_z"):
        predicate.observe(0.0, ("joint",), (1.0,))


def test_the_scenes_predicate_is_that_of_the_simulated_world() -> None:
    scene = load_scene("franka_pick")
    predicate = lift_predicate(scene)
    for seed in (0, 7):
        world = World(load_robot("fr3"), scene, seed)
        resting = float(world.object_pose("cube")[0][2])
        same = LiftPredicate("cube_z", resting, 0.10, 0.5)
        assert predicate._threshold == same._threshold and predicate._hold == same._hold
        assert "cube_z" in world.named_state()[0]


def test_a_scene_without_a_task_has_no_predicate() -> None:
    with pytest.raises(InputError, match="scene table: has no task"):
        lift_predicate(load_scene("table"))
