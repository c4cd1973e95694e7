"""The scripted person: late, never early, the same every time, and of some help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import named_file, read_yaml
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.actors import Decision, ExpertActor, Seen
from vla_rl_nodes.sim.expert import CLOSED, OPEN, Expert, ExpertState
from vla_rl_nodes.sim.person import Cause, Deed, Hands, Person, PersonSettings
from vla_rl_nodes.sim.person_hand import Feel
from vla_rl_nodes.sim.person_sight import View
from vla_rl_nodes.sim.rollout import Rollout

FEEL = Feel((0.15, 0.15, 0.15, 0.0, 0.0, 1.0), 0.1)
ABOVE = np.array([0.50, 0.0, 0.20, 0.0])
CUBE = np.array([0.53, 0.02, 0.02])
TICK_S = 1 / 60
EYE_S = 1 / 30
LONGER = read_yaml(named_file("contracts", "franka_pick"))
LONGER["episode"]["time_limit_s"] = 14.0


def state(tool: np.ndarray = ABOVE, width: float = OPEN, cube: np.ndarray = CUBE) -> ExpertState:
    return ExpertState(tool, tool, width, 0.0, cube, 0.0)


def watch(
    person: Person, world: Callable[[float], ExpertState], seconds: float, begins_s: float = 0.0
) -> tuple[list[tuple[float, Hands]], list[Deed]]:
    """Lets him look at a world that does not mind him."""
    hands, deeds = [], []
    looked = -1.0
    for tick in range(round(seconds / TICK_S)):
        now = begins_s + tick * TICK_S
        if now - looked >= EYE_S - 1e-9:
            looked = now
            person.look(View(now, "e", world(now)))
        hands.append((now, person.act(now)))
        deeds += person.deeds()
    return hands, deeds


def stands_still(now_s: float) -> ExpertState:
    return state()


@cache
def path() -> list[ExpertState]:
    """The expert's own predicted path, a state every 50 ms."""
    expert, states = Expert(), [state()]
    for action in expert.branch(state(), 80):
        states.append(expert._predicted(states[-1], action))
    return states


def goes_well(now_s: float) -> ExpertState:
    """That path, with straight lines between its states."""
    row, share = int(now_s / 0.05), now_s / 0.05 % 1.0
    one, other = path()[row], path()[row + 1]

    def mixed(name: str) -> Any:
        return (1.0 - share) * getattr(one, name) + share * getattr(other, name)

    return ExpertState(
        mixed("tool"), mixed("tool"), mixed("width"), one.finger_speed, mixed("cube"), 0.0
    )


def person(seed: int = 1, episode_seed: int = 7, **changed: float) -> Person:
    made = Person(FEEL, seed, replace(PersonSettings(), **changed))
    made.start("e", episode_seed)
    return made


def test_the_same_seeds_give_the_same_hands() -> None:
    runs = [watch(person(), stands_still, 4.0) for _ in range(2)]
    for (now, one), (_, other) in zip(*(hands for hands, _ in runs), strict=True):
        np.testing.assert_array_equal(one.axes, other.axes, err_msg=f"at {now}")
        assert one.buttons == other.buttons
    assert runs[0][1] == runs[1][1] != []


@pytest.mark.parametrize("changed", [{"seed": 2}, {"episode_seed": 8}])
def test_another_seed_gives_another_reaction(changed: dict[str, int]) -> None:
    one, other = (watch(p, stands_still, 3.0)[1][0] for p in (person(), person(**changed)))
    assert one.decided_s == other.decided_s
    assert one.at_s != other.at_s


@settings(max_examples=25)
@given(
    sees_after_s=st.floats(0.0, 0.5),
    reaction_s=st.floats(0.05, 1.0),
    stall_s=st.floats(0.3, 1.5),
    seed=st.integers(0, 10_000),
)
def test_he_never_acts_before_he_can_have_seen(
    sees_after_s: float, reaction_s: float, stall_s: float, seed: int
) -> None:
    """All is well until 0.5 s, as he sees it only ``sees_after_s`` later."""
    one = person(seed, sees_after_s=sees_after_s, reaction_s=reaction_s, stall_s=stall_s)
    stopped = goes_well(0.5)

    def stops(now_s: float) -> ExpertState:
        return goes_well(now_s) if now_s < 0.5 else stopped

    hands, deeds = watch(one, stops, 0.5 + sees_after_s + stall_s + 12 * reaction_s + 1.0)
    took = deeds[0]
    assert (took.what, took.why) == ("take_over", Cause.STALL.value)
    assert took.decided_s >= 0.5 + sees_after_s
    assert took.at_s > took.decided_s
    for now, pushed in hands:
        if now < took.at_s:
            assert not pushed.axes.any() and pushed.buttons == (0, 0)
    # A lognormal whose logarithm's deviation is 0.25: one in two billion is six of them away.
    reaction = took.at_s - took.decided_s
    assert reaction_s * np.exp(-1.5) < reaction < reaction_s * np.exp(1.5) + 2 * TICK_S


def test_reactions_are_drawn_anew_around_their_median() -> None:
    took = [watch(person(seed), stands_still, 3.0)[1][0] for seed in range(60)]
    reactions = np.array([deed.at_s - deed.decided_s for deed in took])
    assert 0.30 < np.median(reactions) < 0.42
    assert len(set(reactions.round(4))) > 10


def test_while_all_goes_well_he_keeps_his_hands_off() -> None:
    hands, deeds = watch(person(), goes_well, 3.2)
    assert deeds == []
    assert not any(pushed.axes.any() or any(pushed.buttons) for _, pushed in hands)


def test_without_an_episode_he_does_nothing() -> None:
    one = Person(FEEL, 1)
    hands, deeds = watch(one, stands_still, 3.0)
    assert deeds == [] and not any(pushed.axes.any() for _, pushed in hands)


@pytest.mark.parametrize(
    ("becomes", "cause"),
    [
        (state(cube=CUBE + np.array([0.0, 0.15, 0.0])), Cause.SETBACK),
        (state(width=CLOSED), Cause.EMPTY),
        (goes_well(0.6), Cause.STALL),
    ],
)
def test_he_sees_what_goes_wrong(becomes: ExpertState, cause: Cause) -> None:
    def world(now_s: float) -> ExpertState:
        return goes_well(now_s) if now_s < 0.6 else becomes

    _, deeds = watch(person(), world, 3.0)
    assert deeds[0].why == cause.value


def test_he_sees_a_finger_come_down_on_it() -> None:
    def world(now_s: float) -> ExpertState:
        """Beside the cube by a finger's breadth, and sinking."""
        height = max(0.20 - 0.2 * now_s, 0.05)
        return state(np.array([CUBE[0], CUBE[1] + 0.03, height, 0.0]))

    _, deeds = watch(person(), world, 2.0)
    assert deeds[0].why == Cause.LANDING.value
    assert deeds[0].at_s < 1.2


def test_with_a_finger_on_it_he_pulls_up_first() -> None:
    beside = state(np.array([CUBE[0], CUBE[1] + 0.03, 0.05, 0.0]))
    hands, deeds = watch(person(), lambda now: beside, 2.5)
    took = next(deed for deed in deeds if deed.what == "take_over")
    later = np.array([p.axes for now, p in hands if took.at_s + 0.3 < now < took.at_s + 1.0])
    assert (later[:, 2] > 0.8).all() and (np.abs(later[:, :2]) < FEEL.dead_zone).all()


def test_he_pushes_towards_it_and_presses_for_the_fingers() -> None:
    closed = state(width=CLOSED)
    hands, deeds = watch(person(vain_s=10.0), lambda now: closed, 3.0)
    took = next(deed for deed in deeds if deed.what == "take_over")
    later = [pushed for now, pushed in hands if now > took.at_s + 0.3]
    assert np.mean([pushed.axes[0] for pushed in later]) > 0.2  # the cube is in front
    presses = [deed.at_s for deed in deeds if deed.what == "press"]
    # The fingers do not open: he looks each time, and tries again.
    assert len(presses) >= 2 and (np.diff(presses) >= PersonSettings().look_s).all()
    assert any(pushed.buttons == (0, 1) for _, pushed in hands)
    assert all(pushed.buttons[0] == 0 for _, pushed in hands)
    assert all(deed.why == "open" for deed in deeds if deed.what == "press")


def test_he_does_not_push_in_vain_for_long() -> None:
    hands, deeds = watch(person(), stands_still, 9.0)
    took = [deed for deed in deeds if deed.what == "take_over"]
    gone = [deed for deed in deeds if deed.what == "let_go"]
    assert len(took) >= 2 and all(deed.why == "in vain" for deed in gone)
    s = PersonSettings()
    for one, other, again in zip(took[:-1], gone, took[1:], strict=False):
        assert other.at_s - one.at_s == pytest.approx(s.vain_s, abs=0.1)
        assert again.at_s - other.at_s > s.patience_s
        middle = [pushed for now, pushed in hands if other.at_s + 0.3 < now < again.at_s]
        assert not any(pushed.axes.any() for pushed in middle)


def test_what_the_device_felt_first_is_noted() -> None:
    hands, deeds = watch(person(), stands_still, 3.0)
    felt = next(deed for deed in deeds if deed.what == "felt")
    first = next(now for now, pushed in hands if np.abs(pushed.axes).max() > FEEL.dead_zone)
    assert felt.at_s == first >= deeds[0].at_s


class _WithHelp:
    """A policy with him at a device of no depth: his velocity is the tick's action."""

    def __init__(self, contract: Contract, policy: Callable[[ExpertState], np.ndarray]) -> None:
        self._sees, self._policy = ExpertActor(contract), policy

    def start(self, seed: int) -> None:
        self.person = Person(FEEL, 1)
        self.person.start("e", seed)
        self.deeds: list[Deed] = []
        self._width, self._pushed_s = OPEN, -np.inf

    def decide(self, tick: int, seen: Seen) -> Decision:
        now = seen.stamp_ns / 1e9
        there = self._sees.state(seen)
        self.person.look(View(now, "e", replace(there, reference=there.tool)))
        hands = self.person.act(now)
        self.deeds += self.person.deeds()
        axes = np.sign(hands.axes) * np.maximum(np.abs(hands.axes) - FEEL.dead_zone, 0.0)
        own = self._policy(there)
        if axes.any():
            self._width = self._width if now - self._pushed_s < 0.5 else float(own[4])
            self._pushed_s = now
        if any(hands.buttons):
            self._width = CLOSED if hands.buttons[0] else OPEN
        if now - self._pushed_s >= 0.5:
            return Decision(own)
        speed = axes / (1.0 - FEEL.dead_zone) * np.array(FEEL.full_speed) * 0.05
        return Decision(np.array([*speed[:3], speed[5], self._width]))


def test_he_picks_the_cube_where_the_policy_stands_still() -> None:
    contract = Contract.model_validate(LONGER)
    actor = _WithHelp(contract, lambda there: np.array([0.0, 0.0, 0.0, 0.0, OPEN]))
    with Rollout(contract, cameras=False) as rollout:
        assert rollout.run(3, actor).success
    what = [deed.what for deed in actor.deeds if deed.what in ("take_over", "let_go")]
    # He leaves the lift to it the first time, and not the second.
    assert what == ["take_over", "let_go", "take_over", "let_go"]


def test_he_lets_the_expert_do_it_alone() -> None:
    contract = Contract.model_validate(LONGER)
    actor = _WithHelp(contract, Expert().act)
    with Rollout(contract, cameras=False) as rollout:
        assert rollout.run(4, actor).success
    assert actor.deeds == []
