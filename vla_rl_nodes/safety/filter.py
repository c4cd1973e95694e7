"""The filter's state machine: validated inputs in, one verified command per tick out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import tilt_from_rotation
from vla_rl_nodes.safety.check import check_settings
from vla_rl_nodes.safety.commands import Commands
from vla_rl_nodes.safety.inputs import Inbox, Refusal
from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.motion import Motion
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.reference import Reference

Array = NDArray[np.float64]


class State(StrEnum):
    """What the filter is doing."""

    DISARMED = "disarmed"  # commands nothing
    ARMED = "armed"  # follows commands
    HOLDING = "holding"  # no recent command: at rest at the last reference, or on the way there
    STOPPING = "stopping"  # follows the verified stop
    STOPPED = "stopped"  # at rest until armed again
    FAULTED = "faulted"  # at rest after a fault, until armed again


class Executed(NamedTuple):
    """The action accepted for one control tick: its stamp, values [axes], why they differ."""

    stamp_ns: int
    values: Array
    reasons: Reason


@dataclass(frozen=True, eq=False)
class FilterOutput:
    """One tick's result.

    Attributes:
        q_command: joint positions to command now [n], rad; None when disarmed, stopped or
            faulted: the controller keeps the last one.
        gripper_width: opening to command now, m; None with ``q_command`` and without a gripper.
        state: the state after this tick.
        reasons: what happened in this tick.
        cause: why the filter is stopping, stopped or faulted; empty otherwise.
        messages: one line for each thing that began in this tick.
        stop_tail: the verified stop that follows ``q_command`` [m, n], at the filter's period.
        executed: the action accepted in this tick, if any.
        reference: tool_x, tool_y, tool_z, tool_yaw, gripper_width [5]; None when disarmed.
    """

    q_command: Array | None
    gripper_width: float | None
    state: State
    reasons: Reason
    cause: Reason
    messages: tuple[str, ...]
    stop_tail: Array
    executed: Executed | None
    reference: Array | None


class SafetyFilter:
    """Everything that moves the arm passes through here, at the filter's rate.

    Holds one invariant: after every tick there is a stored stop, from the position and velocity
    just commanded to rest, that was verified against every limit. A tick either commands a new
    step whose own stop is verified, or the next step of the stored one.

    Pure and deterministic: times are passed in, nothing is logged, the same calls give the same
    bytes. Disarmed to begin with. Not thread-safe: call it from one thread or under a lock.

    Args:
        robot: joint limits.
        kinematics: of that robot.
        contract: action layout and rates.
        limits: what is allowed.

    Raises:
        InputError: the four do not fit together.
    """

    def __init__(
        self, robot: Robot, kinematics: Kinematics, contract: Contract, limits: SafetyLimits
    ) -> None:
        check_settings(robot, contract, limits)
        self._robot, self._kinematics = robot, kinematics
        self._action, self._limits = contract.action, limits
        self._dt = 1.0 / contract.rates.filter_hz
        self._ticks = contract.rates.filter_hz // contract.rates.policy_hz
        self._hold_ns = nanoseconds(limits.command_timeout_s)
        self._stop_ns = nanoseconds(limits.stop_after_s)
        self._first_ns = nanoseconds(limits.first_command_timeout_s)
        self._state_ns = nanoseconds(limits.joint_state_timeout_s)
        self._future_ns = nanoseconds(limits.future_tolerance_s)
        self._measured = Inbox(
            "joint state", robot.joints, self._state_ns, self._future_ns, Reason.STALE_STATE
        )
        self._commands = Commands(contract, limits)
        self._state, self._cause, self._after_stop = State.DISARMED, NONE, State.DISARMED
        self._motion: Motion | None = None
        self._armed_ns = self._now_ns = 0

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    def arm(self, now_ns: int, q_measured: Array, gripper_width: float) -> None:
        """Takes over an arm that is at rest at ``q_measured`` [n]; nothing moves by itself.

        Commands that came before are forgotten. After a stop the arm goes on from where it was
        commanded to be, unless it has been moved away from there meanwhile. The tool may be
        outside the workspace: motion is then allowed only where it does not go further out.

        Raises:
            InputError: already armed, no fresh joint state, a position that is not finite or
                outside its range, or a tool that does not point down.
        """
        if self._state not in (State.DISARMED, State.STOPPED, State.FAULTED):
            raise InputError("arm", f"the filter is {self._state}", "disarm it first")
        sample = self._measured.latest
        if sample is None or not -self._future_ns <= now_ns - sample.stamp_ns <= self._state_ns:
            raise InputError("arm", "there is no fresh joint state", "check the robot's driver")
        q = np.array(q_measured, dtype=np.float64)
        robot = self._robot
        if q.shape != (len(robot.joints),) or not (np.isfinite(q).all() and gripper_width >= 0):
            raise InputError("arm", "the measured position is not usable", "check the driver")
        if not self._near(q, sample.values):
            raise InputError("arm", "the arm is not at the given position", "give a fresh one")
        if self._motion is not None and self._near(q, self._motion.q):
            q = self._motion.q
        for i, name in enumerate(robot.joints):
            low, high = robot.position_min[i], robot.position_max[i]
            if not low <= q[i] <= high:
                raise InputError(
                    "arm",
                    f"{name} is at {q[i]:.4f} rad, outside {low:.4f}..{high:.4f}",
                    "move the arm by hand",
                )
        pose = self._kinematics.fk(q)
        tilt = tilt_from_rotation(pose.rotation)
        if tilt > self._limits.arming_tilt_max:
            raise InputError("arm", f"the tool is tilted by {tilt:.2f} rad", "point it down")
        reference = Reference(
            robot, self._kinematics, self._action, self._limits, self._ticks, self._dt, q,
            gripper_width,
        )  # fmt: skip
        self._motion = Motion(
            robot, self._kinematics, self._limits, self._dt, reference, q, pose.position
        )
        self._commands.reset(now_ns)
        self._state, self._cause = State.ARMED, NONE
        self._armed_ns = self._now_ns = now_ns

    def disarm(self) -> None:
        """Commands nothing more; an arm that moves follows its verified stop first."""
        if self._motion is None or self._motion.at_rest:
            self._state, self._cause, self._motion = State.DISARMED, NONE, None
        else:
            self._state, self._after_stop = State.STOPPING, State.DISARMED

    def measured(
        self, stamp_ns: int, arrival_ns: int, names: Sequence[str], positions: Sequence[float]
    ) -> Refusal | None:
        """Takes the arm's measured joint positions (rad), names in any order."""
        return self._measured.offer(stamp_ns, arrival_ns, names, positions)

    def command(
        self, stamp_ns: int, arrival_ns: int, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Takes the base action of the control tick ``stamp_ns``, in the contract's units."""
        return self._unarmed() or self._commands.base(stamp_ns, arrival_ns, names, values)

    def residual(
        self, stamp_ns: int, arrival_ns: int, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Takes the residual of the control tick ``stamp_ns``; alone it does nothing."""
        return self._unarmed() or self._commands.residual(stamp_ns, arrival_ns, names, values)

    def tick(self, now_ns: int) -> FilterOutput:
        """Advances by one filter period and says what to command now.

        The motion advances by one period however late the call is: a late tick slows the arm
        and never makes it leap.
        """
        motion = self._motion
        if motion is None:
            return FilterOutput(
                None, None, self._state, NONE, self._cause, (), self._nothing(), None, None
            )
        messages: list[str] = []
        reasons = NONE
        executed: Executed | None = None
        if self._state in (State.ARMED, State.HOLDING, State.STOPPING):
            reasons |= self._watch_state(now_ns, motion, messages)
        self._now_ns = max(now_ns, self._now_ns)
        commanding = self._state not in (State.STOPPED, State.FAULTED)
        if self._state in (State.ARMED, State.HOLDING):
            executed, why = self._execute(now_ns, motion, messages)
            reasons |= why | self._watch_commands(now_ns, messages)
        if self._state in (State.ARMED, State.HOLDING):
            if not motion.follow():
                reasons |= Reason.UNVERIFIED_STOP
            if motion.newly_unverified:
                messages.append("a step without a verified stop was replaced by the stored stop")
        elif commanding:
            motion.stop()
        if self._state is State.STOPPING and motion.at_rest:
            self._state = self._after_stop
            messages.append(f"the arm is at rest, {self._state}")
        output = FilterOutput(
            q_command=motion.q.copy() if commanding else None,
            gripper_width=motion.width if commanding else None,
            state=self._state,
            reasons=reasons,
            cause=self._cause,
            messages=tuple(messages),
            stop_tail=motion.tail.path.copy(),
            executed=executed,
            reference=motion.reference.pose,
        )
        if self._state is State.DISARMED:
            self._motion = None
        return output

    def _unarmed(self) -> Refusal | None:
        if self._state in (State.ARMED, State.HOLDING):
            return None
        return Refusal(Reason.NOT_ARMED, f"the filter is {self._state}; arm it first")

    def _watch_state(self, now_ns: int, motion: Motion, messages: list[str]) -> Reason:
        sample = self._measured.latest
        assert sample is not None  # arming needs one
        age_ns = now_ns - sample.stamp_ns
        if min(now_ns - self._now_ns, age_ns) < -self._future_ns:
            return self._fault(Reason.FUTURE_STAMP, "the clock ran backwards", messages)
        if age_ns > self._state_ns:
            return self._fault(
                Reason.STALE_STATE, f"the joint state is {age_ns / 1e6:.0f} ms old", messages
            )
        error = np.abs(sample.values - motion.q)
        worst = int(np.argmax(error))
        if error[worst] > self._limits.tracking_error_max:
            return self._fault(
                Reason.TRACKING_ERROR,
                f"{self._robot.joints[worst]} is {error[worst]:.3f} rad from its command",
                messages,
            )
        return NONE

    def _fault(self, reason: Reason, problem: str, messages: list[str]) -> Reason:
        if self._after_stop is State.FAULTED and self._state is State.STOPPING:
            return NONE  # told already
        self._state, self._after_stop = State.STOPPING, State.FAULTED
        self._cause |= reason
        messages.append(f"{problem}: stopping, faulted")
        return reason

    def _execute(
        self, now_ns: int, motion: Motion, messages: list[str]
    ) -> tuple[Executed | None, Reason]:
        """Accepts this control tick's action, if there is one and it is still good."""
        pair = self._commands.take(now_ns)
        if pair is None:
            return None, NONE
        if isinstance(pair, Refusal):
            messages.append(pair.message)
            return None, pair.reason
        accepted = motion.reference.accept(pair.base, pair.residual, motion.q)
        executed = Executed(pair.stamp_ns, accepted.values, accepted.reasons)
        return executed, accepted.reasons

    def _watch_commands(self, now_ns: int, messages: list[str]) -> Reason:
        last = self._commands.taken_ns
        first = last is None
        age_ns = now_ns - (self._armed_ns if last is None else last)
        if age_ns > (self._first_ns if first else self._stop_ns):
            self._state, self._after_stop = State.STOPPING, State.STOPPED
            self._cause |= Reason.STALE_COMMAND
            messages.append(f"no command for {age_ns / 1e6:.0f} ms: stopping")
            return Reason.STALE_COMMAND
        if age_ns <= self._hold_ns:
            self._state = State.ARMED
            return NONE
        began = self._state is State.ARMED
        self._state = State.HOLDING
        if began and not first:
            messages.append(f"no command for {age_ns / 1e6:.0f} ms: holding")
        return Reason.STALE_COMMAND if began and not first else NONE

    def _near(self, q: Array, other: Array) -> bool:
        return bool((np.abs(q - other) <= self._limits.tracking_error_max).all())

    def _nothing(self) -> Array:
        return np.empty((0, len(self._robot.joints)))
