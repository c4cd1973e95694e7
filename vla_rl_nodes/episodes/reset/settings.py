"""What a reset is asked for, and the numbers that it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vla_rl_nodes.errors import InputError


class Mode(StrEnum):
    """How the next episode's start comes about.

    - ``simulation``: the simulator puts everything to the seed's start.
    - ``start``: the arm goes to the seed's start by itself, the task's script puts objects back.
    - ``return_and_explore``: as ``start``, to a stored state, perturbed (VLAC, arXiv 2509.15937).
    - ``demo_replay``: along a recorded demonstration's joints up to a point drawn at random.
    - ``human_guided``: a person brings the robot where it shall be explored, and confirms.
    - ``recorded_start``: the simulator restores the state in which a recorded episode began.
    - ``person``: asks a person at once.
    """

    SIMULATION = "simulation"
    START = "start"
    RETURN_AND_EXPLORE = "return_and_explore"
    DEMO_REPLAY = "demo_replay"
    HUMAN_GUIDED = "human_guided"
    RECORDED_START = "recorded_start"
    PERSON = "person"


PLANNED = (Mode.START, Mode.RETURN_AND_EXPLORE, Mode.DEMO_REPLAY)
SIMULATED = (Mode.SIMULATION, Mode.RECORDED_START)


def mode_named(name: str) -> Mode:
    """The mode of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return Mode(name)
    except ValueError:
        known = ", ".join(mode.value for mode in Mode)
        raise InputError(f"reset mode '{name}'", "is unknown", f"give one of {known}") from None


@dataclass(frozen=True)
class ResetRequest:
    """One reset: how, for which episode, from which seed (not negative)."""

    mode: Mode
    seed: int = 0
    episode_id: str = ""


@dataclass(frozen=True)
class ResetSettings:
    """How a reset moves, checks and gives up; lengths m, angles rad, times s.

    Attributes:
        speed_share: of the robot's own velocity and acceleration limits.
        attempts: before a person is asked.
        ask_limit_s: how long a person is waited for; 0 for ever.
        joint_tolerance: from the goal, of each joint.
        width_tolerance: of the gripper's opening.
        rest_speed: of the fastest joint at rest, rad/s.
        lag_max: how far the arm may be from what was commanded lately.
        handover_s: how long the filter may take to be armed and ours.
        settle_s: how long the arm may take to come to rest where it was sent.
        gripper_s: how long the gripper may take to its width.
        check_s: how long the task's check may take to come true.
        silence_s: joint states older than this end the attempt.
        plan_s: longest search for a way.
        lift_m: how far the tool is lifted out of the way first.
        perturb_rad: half range of what is added to every joint of the goal.
        perturb_m: half range of what is added to the tool's position at the goal.
        retreat_m: how far ``reset/retreat`` takes the tool back.
        retreat_speed: of it, m/s.
    """

    speed_share: float = 0.3
    attempts: int = 3
    ask_limit_s: float = 0.0
    joint_tolerance: float = 0.02
    width_tolerance: float = 0.006
    rest_speed: float = 0.02
    lag_max: float = 0.12
    handover_s: float = 3.0
    settle_s: float = 2.0
    gripper_s: float = 2.5
    check_s: float = 1.5
    silence_s: float = 0.5
    plan_s: float = 3.0
    lift_m: float = 0.12
    perturb_rad: float = 0.0
    perturb_m: float = 0.0
    retreat_m: float = 0.10
    retreat_speed: float = 0.15
