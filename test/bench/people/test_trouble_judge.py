"""The judge of a device in trouble, on bags in which the arm is held, or is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bag_messages import EVENT, event
from demo.demo_bag import CONTRACT, MS, START_NS, DemoBag, Message, smooth

from vla_rl_nodes.bench.people.deeds import Line
from vla_rl_nodes.bench.people.trouble_judge import judge_trouble

TROUBLE, OVER = START_NS + 600 * MS, START_NS + 2500 * MS
LOST, BACK = TROUBLE + 300 * MS, OVER + 200 * MS
LINES = [
    Line(at_ns=at, decided_ns=at, what=what, why="unplugged", episode_id="e")
    for at, what in ((TROUBLE, "trouble"), (OVER, "trouble_over"))
]


def bag(states: list[tuple[int, str, str]], held: bool = True) -> DemoBag:
    """Three seconds; the arm is brought to rest when the device is lost, or goes on."""
    moving = smooth(120) if held else smooth(315)
    path = np.vstack([moving, np.repeat(moving[-1:], 315 - len(moving), axis=0)])
    made = DemoBag(seconds=3.0, commands=path, images=False)
    for at, state, reason in states:
        said = event(at, state, {"reason": reason})
        made.extra.append(Message("intervention/status", EVENT, at, said))
    return made


STATES = [
    (START_NS + 100 * MS, "idle", ""),
    (START_NS + 200 * MS, "active", "engaged"),
    (LOST, "lost", "silent for 0.3 s"),
    (BACK, "active", "back"),
]


def test_a_device_that_was_lost_held_said_and_given_back(tmp_path: Path) -> None:
    verdict = judge_trouble(bag(STATES).write(tmp_path), CONTRACT, LINES)
    assert verdict is not None
    assert verdict.faults == () and verdict.kind == "unplugged"
    assert verdict.said_after_s == pytest.approx(0.3) and verdict.said == "silent for 0.3 s"
    assert verdict.back_after_s == pytest.approx(0.2)
    assert verdict.held_speed is not None and verdict.held_speed < 0.02
    assert verdict.figures()["faults"] == []


def test_an_arm_that_goes_on_is_told(tmp_path: Path) -> None:
    verdict = judge_trouble(bag(STATES, held=False).write(tmp_path), CONTRACT, LINES)
    assert verdict is not None
    assert len(verdict.faults) == 1 and verdict.faults[0].startswith("the arm went on at")


def test_silence_about_it_is_told(tmp_path: Path) -> None:
    verdict = judge_trouble(bag(STATES[:2]).write(tmp_path), CONTRACT, LINES)
    assert verdict is not None
    assert verdict.faults == ("nobody said that the device is lost",)
    assert verdict.said_after_s is verdict.back_after_s is verdict.held_speed is None


def test_saying_it_late_is_told(tmp_path: Path) -> None:
    late = [*STATES[:2], (TROUBLE + 900 * MS, "lost", "silent"), STATES[3]]
    verdict = judge_trouble(bag(late).write(tmp_path), CONTRACT, LINES)
    assert verdict is not None
    assert verdict.faults == ("it took 0.90 s to say that the device is lost",)


def test_an_episode_without_trouble_has_no_verdict(tmp_path: Path) -> None:
    assert judge_trouble(tmp_path, CONTRACT, LINES[:0]) is None
