"""One round: one filter, attacked scenario after scenario until its ticks are used up."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.attack import Attacker
from vla_rl_nodes.bench.safety.events import Event
from vla_rl_nodes.bench.safety.figures import Figures
from vla_rl_nodes.bench.safety.rig import Rig
from vla_rl_nodes.bench.safety.starts import starts
from vla_rl_nodes.bench.safety.streams import Violation
from vla_rl_nodes.bench.safety.subjects import Subject
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.state import Source, State

Array = NDArray[np.float64]

EVENTS = 14  # of a scenario, at most
REST_TICKS = 400  # what the longest stop may take
ARMINGS = 12  # attempts at other places before a scenario is given up
SHOWN = 20  # violations that a round keeps in full


@dataclass
class Found:
    """What a round found.

    Attributes:
        kinds: how many violations of each kind.
        lines: the first of them, each a line that says where and how to see it again.
        refused: armings.
        excused: bounds broken by a stop from where a stream of velocities coasted to unheard.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    refused: int = 0
    excused: int = 0

    def add(self, other: Found) -> None:
        """Takes another round's."""
        self.kinds.update(other.kinds)
        self.lines = [*self.lines, *other.lines][:SHOWN]
        self.refused += other.refused
        self.excused += other.excused


def run_round(subject: Subject, seed: tuple[int, ...], ticks: int, figures: Figures) -> Found:
    """Attacks one filter for so many ticks; ``seed`` decides everything."""
    random = np.random.default_rng(seed)
    found = Found()
    rig = Rig(subject, figures, int(random.integers(2**31)))
    places = starts(subject, random)
    action = subject.contract.action
    absolute = action.kind == "joint_position"
    attacker = Attacker(len(action.axes), absolute, random, len(subject.robot.joints))
    again = f"round {','.join(map(str, seed))} of {subject.name}"
    until = figures.ticks + ticks
    first = figures.ticks
    try:
        while figures.ticks < until:
            if not place(rig, places, random):
                found.refused += 1
                rig.step()
                continue
            events = attacker.scenario(int(random.integers(4, EVENTS)))
            for event in scenario(rig, events, random):
                event.apply(rig)
                if figures.ticks >= until:
                    break
        rig.filter.disarm()
        come_to_rest(rig)
    except Exception:
        figures.exceptions += 1
        last = traceback.format_exc().strip().splitlines()
        found.lines.append(
            f"{again}, tick {figures.ticks - first}: {last[-1]} ({last[-3].strip()})"
        )
    figures.exceptions += len(rig.failures)
    found.lines += [f"{again}: {line}" for line in rig.failures[:SHOWN]]
    collect(found, rig.violations(), again)
    found.excused = rig.checker.excused
    return found


def scenario(rig: Rig, events: Iterator[Event], random: np.random.Generator) -> Iterator[Event]:
    """The events, and what arms the filter again where one of them stopped it."""
    rig.lag, rig.noise = int(random.integers(1, 5)), float(random.choice((0.0, 1e-5, 1e-4)))
    for event in events:
        if rig.filter.state not in (State.ARMED, State.HOLDING):
            come_to_rest(rig)
            if not rig.arm():
                return
        yield event


def place(rig: Rig, places: list[Array], random: np.random.Generator) -> bool:
    """Disarms, moves the arm by hand to one of ``places``, arms it; whether that worked."""
    rig.filter.disarm()
    come_to_rest(rig)
    rig.filter.disarm()
    rig.restore_limits()
    for _ in range(ARMINGS):
        rig.carry_to(places[random.integers(len(places))])
        rig.step()
        if rig.arm():
            return True
    return False


def come_to_rest(rig: Rig) -> None:
    """Runs until nothing is commanded, then takes back what would keep it from being armed.

    Raises:
        AssertionError: it does not come to rest.
    """
    for source in (Source.INTERVENTION, Source.RESET):
        rig.engage(source, False)
    rig.held = True
    for _ in range(REST_TICKS):
        if rig.settled:
            break
        rig.step()
    else:
        raise AssertionError(f"not at rest after {REST_TICKS} ticks, {rig.filter.state}")
    try:
        rig.filter.reset_e_stop(rig.now)
    except InputError:
        rig.step()
    rig.step()


def collect(found: Found, violations: list[Violation], again: str) -> None:
    """Counts violations and keeps the first ones as lines."""
    for violation in violations:
        found.kinds[violation.kind] += 1
        if len(found.lines) < SHOWN:
            where = "tail" if violation.tail else "driven"
            found.lines.append(
                f"{again}, tick {violation.tick}, {where}: {violation.kind} of {violation.detail}"
                f" by {violation.excess:.3g}"
            )
