"""A scripted person: watches the task, takes over when it goes wrong, helps, and lets go again.

He stands for a real one where a hundred episodes with help have to be repeated exactly, and he is
no better than that: he sees late, hesitates, trembles, and has nothing but a SpaceMouse.
Everything he draws comes from his seed and the episode's.

* He sees the arm and the object some time after they were there to be seen.
* He judges by how much of the task is left (:func:`person_sight.remaining_s`). No headway for
  ``stall_s``, a leap back, fingers that have closed on nothing, or a tool that is about to come
  down on the object, and he makes up his mind to help; his hand is on the cap a reaction time
  later, which is drawn anew for each decision.
* Helping, he pushes the tool to where the scripted expert would go, slower than the expert, by
  velocities alone; with a finger right above the object he pulls up first. He presses a button of
  the gripper when the fingers do not do what he wants, looks what became of it, and presses again
  only then. While the fingers move he keeps up a light pressure, so that the device does not take
  him for gone.
* Where nothing moves for ``vain_s`` although he pushes, he takes his hand off, looks, and tries
  again.
* When he has held the object for ``sure_s`` and it is ``clear_m`` off the table, he lets go and
  leaves the rest of the lift to the policy; for ``patience_s`` he does not judge it again. Where
  that was in vain he helps again, and from then on in this episode he lifts it to ``lifted_m``
  himself before he lets go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.expert import CLOSED, Expert, ExpertSettings, ExpertState
from vla_rl_nodes.sim.person_hand import AXES, BUTTONS, Feel, Hand, HandSettings
from vla_rl_nodes.sim.person_sight import (
    Sight,
    View,
    about_to_land,
    empty_handed,
    finger_above,
    remaining_s,
)

Vector = NDArray[np.float64]

_UP, _TURN = 2, 5  # of the device's six axes
_MOVING = 0.02  # m/s: faster fingers are on their way
_STIR = 0.002  # m: what moves less does not move
_LEVER_M = 0.1  # at which a turn is seen


@dataclass(frozen=True)
class PersonSettings:
    """How he sees, decides and moves; s, m, m/s and rad/s."""

    sees_after_s: float = 0.10
    reaction_s: float = 0.35  # median of a lognormal
    reaction_spread: float = 0.25  # standard deviation of its logarithm
    stall_s: float = 0.8
    headway_s: float = 0.15  # less than this in ``stall_s`` is a stall
    glance_s: float = 0.15  # of watching, to see how fast the tool moves
    ahead_s: float = 0.6  # how far he thinks ahead of a tool that sinks
    setback_s: float = 0.5  # a leap of the time that is left
    done_s: float = 0.15  # with less than this left there is nothing to help with
    clear_m: float = 0.05
    lifted_m: float = 0.125
    sure_s: float = 0.3
    patience_s: float = 1.0
    press_s: float = 0.1  # how long a button is held down
    vain_s: float = 1.5
    look_s: float = 0.6  # from a press until he knows what it did
    gain: float = 2.0  # 1/s: speed for each metre that is left
    speed: float = 0.11  # m/s
    turn: float = 0.7  # rad/s
    away: float = 0.2  # m/s: upwards, with a finger right above the object
    away_m: float = 0.065
    careful_m: float = 0.0008  # nearer than this he does not push


class Cause(Enum):
    """Why he takes over."""

    STALL = "no headway"
    SETBACK = "set back"
    EMPTY = "closed on nothing"
    LANDING = "about to land on it"


@dataclass(frozen=True)
class Deed:
    """What he did and when, for the record: what the robot's bag is held against.

    Args:
        at_s: on the clock of :meth:`Person.act`.
        what: ``take_over``, when his hand is on the cap; ``felt``, when the device reads the first
            push of it beyond its dead zone, or the first button; ``press``; ``let_go``.
        episode: the id of the episode that he saw.
        why: for a ``take_over`` its cause, for a ``press`` ``close`` or ``open``, for a ``let_go``
            whether he was ``done``, pushed ``in vain``, or the episode was ``over``.
        decided_s: when he made up his mind to take over; else ``at_s``.
    """

    at_s: float
    what: str
    episode: str
    why: str
    decided_s: float


@dataclass(frozen=True)
class Hands:
    """What the device reads: six axes in -1 to 1 and two buttons."""

    axes: Vector
    buttons: tuple[int, int]


class Person:
    """Looks at views, and moves a SpaceMouse.

    ``episode`` is the id of the one that he was told of last.

    Args:
        feel: the device that he is used to.
        seed: of everything that he draws, with the episode's.
        settings: how he is.
        hand: how his hand is.
    """

    def __init__(
        self,
        feel: Feel,
        seed: int,
        settings: PersonSettings | None = None,
        hand: HandSettings | None = None,
    ) -> None:
        self._feel, self._seed = feel, seed
        self._settings, self._hand_settings = settings or PersonSettings(), hand
        s = self._settings
        self._sight = Sight(s.sees_after_s)
        self._expert = Expert()
        self._edge_m = self._expert.settings.cube_edge_m
        self._period_s = self._expert.plant.period_s
        # The expert's path at a person's pace: his delays would make the expert's own gain swing.
        self._guide = Expert(
            ExpertSettings(
                cruise=s.speed * self._period_s,
                gain=s.gain * self._period_s,
                yaw_cruise=s.turn * self._period_s,
            )
        )
        self._deeds: list[Deed] = []
        self.start("", 0)

    def start(self, episode: str, episode_seed: int) -> None:
        """A new episode: his draws begin anew, whatever happened in the last one."""
        self.episode = episode
        self._decisions = np.random.default_rng([self._seed, max(episode_seed, 0), 0xDEC1])
        tremor = np.random.default_rng([self._seed, max(episode_seed, 0), 0x4A2D])
        self._hand = Hand(tremor, self._hand_settings)
        self._helping = self._unfelt = False
        self._decided: tuple[float, float, Cause] | None = None  # when, when to act, why
        self._history: list[tuple[View, float]] = []  # and the time left then
        self._held_since: float | None = None
        self._moved_at: tuple[float, View]  # set at each take-over
        self._pressed_at, self._button = -np.inf, 0
        self._patient_until = -np.inf
        self._carry_m = self._settings.clear_m

    def look(self, view: View) -> None:
        """There is something new to see; he will know of it ``sees_after_s`` later."""
        self._sight.look(view)

    def deeds(self) -> list[Deed]:
        """What he did since the last call."""
        done, self._deeds = self._deeds, []
        return done

    def act(self, now_s: float) -> Hands:
        """Where his hands are now, from what he has seen by now."""
        view = self._sight.at(now_s)
        wanted: Vector | None = None
        if view is None or not view.episode or view.episode != self.episode:
            if self._helping:
                self._let_go(now_s, "over")
            self._decided, self._history = None, []
        elif self._helping:
            wanted = self._help(now_s, view)
        else:
            self._watch(now_s, view)
        down = now_s - self._pressed_at < self._settings.press_s
        buttons = tuple(int(down and button == self._button) for button in range(BUTTONS))
        axes = self._hand.push(now_s, wanted)
        if self._unfelt and (down or np.abs(axes).max() > self._feel.dead_zone):
            self._unfelt = False
            self._deeds.append(Deed(now_s, "felt", self.episode, "", now_s))
        return Hands(axes, (buttons[0], buttons[1]))

    def _watch(self, now_s: float, view: View) -> None:
        s = self._settings
        if self._decided is not None:
            decided_s, act_s, why = self._decided
            if now_s >= act_s:
                self._helping, self._decided, self._held_since = True, None, None
                self._unfelt, self._moved_at = True, (now_s, view)
                self._deeds.append(Deed(now_s, "take_over", self.episode, why.value, decided_s))
            return
        cause = self._judge(view) if now_s >= self._patient_until else None
        if cause is not None:
            wait = s.reaction_s * float(np.exp(s.reaction_spread * self._decisions.normal()))
            self._decided = now_s, now_s + wait, cause

    def _judge(self, view: View) -> Cause | None:
        """What is wrong with the headway of the last while; None while it is well."""
        s = self._settings
        left = remaining_s(self._expert, view.state)
        if self._history and self._history[-1][0].at_s == view.at_s:
            return None  # nothing new
        self._history.append((view, left))
        watched = view.at_s - self._history[0][0].at_s >= s.stall_s
        while view.at_s - self._history[0][0].at_s > s.stall_s:
            self._history.pop(0)
        if left < s.done_s:
            return None
        if empty_handed(view.state):
            return Cause.EMPTY
        before = next((v for v, _ in self._history if view.at_s - v.at_s <= s.glance_s), view)
        if about_to_land(before, view, self._edge_m, s.ahead_s):
            return Cause.LANDING
        earlier = [value for _, value in self._history]
        if left - min(earlier) > s.setback_s:
            return Cause.SETBACK
        if watched and max(earlier) - left < s.headway_s:
            return Cause.STALL
        return None

    def _help(self, now_s: float, view: View) -> Vector | None:
        s, state = self._settings, view.state
        if self._moved(view):
            self._moved_at = now_s, view
        elif now_s - self._moved_at[0] >= s.vain_s:
            self._let_go(now_s, "in vain")
            return None
        gripping = self._expert.gripping(state)
        if not gripping:
            self._held_since = None
        elif self._held_since is None:
            self._held_since = view.at_s
        elif (
            view.at_s - self._held_since >= s.sure_s
            and state.cube[2] - self._edge_m / 2 >= self._carry_m
        ):
            self._let_go(now_s, "done")
            return None
        action = self._guide.act(state)
        close = float(action[4]) == CLOSED
        if now_s - self._pressed_at >= s.look_s and self._disagrees(state, close, gripping):
            self._pressed_at, self._button = now_s, self._feel.close if close else self._feel.open
            why = "close" if close else "open"
            self._deeds.append(Deed(now_s, "press", self.episode, why, now_s))
        velocity = np.zeros(AXES)
        if finger_above(state, self._edge_m) and state.tool[2] - state.cube[2] < s.away_m:
            velocity[_UP] = s.away
        else:
            velocity[:3], velocity[_TURN] = action[:3], action[3]
            velocity[np.abs(velocity) < s.careful_m * s.gain * self._period_s] = 0.0
            velocity /= self._period_s
        push = self._feel.deflection(velocity)
        if not push.any():
            push[_UP] = self._feel.pressure()
        return push

    def _moved(self, view: View) -> bool:
        """Whether arm or fingers are somewhere else than when they last were seen to move."""
        now, before = view.state, self._moved_at[1].state
        far = np.abs(now.tool - before.tool) > (_STIR, _STIR, _STIR, _STIR / _LEVER_M)
        return bool(far.any()) or abs(now.width - before.width) > _STIR

    def _disagrees(self, state: ExpertState, close: bool, gripping: bool) -> bool:
        """Whether the fingers neither are where he wants them nor on their way there."""
        if close:
            return not gripping and state.finger_speed > -_MOVING
        return state.width < 0.07 and state.finger_speed < _MOVING

    def _let_go(self, now_s: float, why: str) -> None:
        if why == "done":
            self._carry_m = self._settings.lifted_m
        self._helping, self._unfelt, self._history = False, False, []
        self._patient_until = now_s + self._settings.patience_s
        self._deeds.append(Deed(now_s, "let_go", self.episode, why, now_s))
