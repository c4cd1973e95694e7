"""The codes are those of MoveIt Servo where the two agree, and the gravest is told."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import State
from vla_rl_nodes.safety.status import STATUS_MESSAGES, Status, status_of, without_motion


def test_numbers_and_messages() -> None:
    assert [status.value for status in Status][:8] == [-1, 0, 1, 2, 3, 4, 5, 6]
    assert min(status.value for status in list(Status)[8:]) == 16
    assert STATUS_MESSAGES.keys() == set(Status)
    assert len(set(STATUS_MESSAGES.values())) == len(Status)


@pytest.mark.parametrize(
    ("state", "reasons", "halted", "status"),
    [
        (State.ARMED, NONE, False, Status.NO_WARNING),
        (State.ARMED, NONE, True, Status.NO_WARNING),
        (State.ARMED, Reason.OUTRANKED, False, Status.NO_WARNING),
        (State.HOLDING, NONE, False, Status.HOLDING),
        (State.HOLDING, Reason.STALE_COMMAND, False, Status.HOLDING),
        (State.HOLDING, Reason.DEADMAN, False, Status.DEADMAN),
        (State.HOLDING, Reason.WRENCH, False, Status.WRENCH),
        (State.DISARMED, Reason.NON_FINITE, False, Status.DISARMED),
        (State.STOPPING, Reason.COLLISION, False, Status.STOPPING),
        (State.STOPPED, NONE, False, Status.STOPPED),
        (State.FAULTED, NONE, False, Status.FAULTED),
        (State.ARMED, Reason.SINGULARITY, False, Status(1)),
        (State.ARMED, Reason.SINGULARITY, True, Status(2)),
        (State.ARMED, Reason.SELF_COLLISION | Reason.SINGULARITY, False, Status(4)),
        (State.ARMED, Reason.COLLISION | Reason.WORKSPACE, True, Status(5)),
        (State.ARMED, Reason.JOINT_POSITION | Reason.NON_FINITE, False, Status.JOINT_BOUND),
        (State.ARMED, Reason.WORKSPACE | Reason.ACTION_BOUND, False, Status.WORKSPACE),
        (State.ARMED, Reason.RESIDUAL_BOUND, False, Status.BOUNDED),
        (State.ARMED, Reason.BODY, False, Status.BODY),
        (State.ARMED, Reason.UNVERIFIED_STOP | Reason.COLLISION, False, Status.UNVERIFIED_STOP),
        (State.HOLDING, Reason.WRONG_NAMES, False, Status.INVALID),
    ],
)
def test_the_gravest_is_told(state: State, reasons: Reason, halted: bool, status: Status) -> None:
    assert status_of(state, reasons, latched=False, halted=halted) is status
    assert status_of(state, reasons, latched=True, halted=halted) is Status.E_STOP


def test_only_motion_counts_as_motion() -> None:
    action = load_contract("franka_pick").action
    assert without_motion(action, np.array([0.0, 0.0, 0.0, 0.0, 0.05]))
    assert not without_motion(action, np.array([0.0, 0.0, 1e-9, 0.0, 0.05]))
    absolute = action.model_copy(update={"kind": "joint_position"})
    assert not without_motion(absolute, np.zeros(5))
