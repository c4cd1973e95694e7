"""The filter's state machine: validated inputs in, one verified command per tick out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.arming import starting_position
from vla_rl_nodes.safety.check import check_settings
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.course import Course
from vla_rl_nodes.safety.drive import Drive
from vla_rl_nodes.safety.e_stop import MAIN
from vla_rl_nodes.safety.execution import Execution
from vla_rl_nodes.safety.guards import Guards
from vla_rl_nodes.safety.inputs import Refusal, Vector
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.output import Executed, FilterOutput
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Instant, Missed, Problem, Source, State
from vla_rl_nodes.safety.status import status_of, without_motion
from vla_rl_nodes.safety.tightening import check_tightening
from vla_rl_nodes.safety.waiting import Waiting

__all__ = ["Executed", "FilterOutput", "Instant", "SafetyFilter", "Source", "State"]
Array = NDArray[np.float64]


class SafetyFilter:
    """Everything that moves the robot passes through here, at the filter's rate.

    Holds one invariant: after every tick there is a stored stop, from the motion just commanded
    to rest, that was verified against every limit. A tick either commands a new step whose own
    stop is verified, or the next step of the stored one; whatever fails, it is the latter.

    Pure and deterministic: times are passed in, nothing is logged. Disarmed to begin with. Not
    thread-safe: call it from one thread or under a lock.

    Args:
        robot: joint limits.
        kinematics: of that robot.
        contract: action layout and rates.
        limits: what is allowed.
        missed: what the joints' controller does by itself in ticks that are missed.

    Raises:
        InputError: the four do not fit together.
    """

    def __init__(
        self, robot: Robot, kinematics: Kinematics, contract: Contract, limits: SafetyLimits,
        missed: Missed = Missed.PLAN,
    ) -> None:  # fmt: skip
        check_settings(robot, contract, limits)
        self._robot, self._kinematics, self._contract = robot, kinematics, contract
        self._limits, self._missed = limits, missed
        self._clearance = Clearance(robot, limits)
        self._base = contract.action.kind == "base_velocity"
        self._guards = Guards(robot, limits, tracking=not self._base)
        self._waiting = Waiting(self._guards.deadman)
        self._execution = Execution(robot, contract, limits)
        self._arbiter = self._execution.arbiter
        self._course = Course()
        self._drive: Drive | None = None
        self._held: Array | None = None  # commanded last, over disarming too
        self._pose: Array | None = None
        self._now = Instant(0, 0)
        self._yielding = False

    @property
    def state(self) -> State:
        """The present state."""
        return self._course.state

    @property
    def limits(self) -> SafetyLimits:
        """The limits that hold now."""
        return self._limits

    @property
    def moved(self) -> bool:
        """Whether anything has been commanded to move since the last arming."""
        return self._drive is not None and self._drive.moved

    @property
    def latched(self) -> bool:
        """Whether the emergency stop is latched."""
        return self._guards.e_stop.latched

    @property
    def in_command(self) -> Source:
        """Whose commands are executed while it is armed."""
        return self._arbiter.in_command

    @property
    def gripper_width(self) -> float | None:
        """The opening that is commanded, m; None while disarmed, and without a gripper."""
        return None if self._drive is None else self._drive.width

    @property
    def reference_names(self) -> tuple[str, ...]:
        """Names of the components of an output's ``reference``; empty when disarmed."""
        return () if self._drive is None else self._drive.pose_names

    @property
    def joint_names(self) -> tuple[str, ...]:
        """What a reset's joint command consists of; empty where the robot takes none."""
        return self._execution.joint_names

    # --- orders

    def arm(
        self, now: Instant, q_measured: Array, gripper_width: float, for_reset: bool = False
    ) -> None:
        """Takes over a robot that is at rest at ``q_measured`` [n] (rad); nothing moves by itself.

        Commands that came before are forgotten. After a stop it goes on from where it was
        commanded to be, unless it has been moved away from there meanwhile. The tool may be
        outside the workspace: motion is then allowed only where it does not go further out.
        For a reset a tool may be tilted that the actions want downward: its joints level it.

        Raises:
            InputError: already armed; the emergency stop is latched or unheard; no fresh joint
                state, wrench or orientation; a force or a tilt that is too great; or see
                :func:`~vla_rl_nodes.safety.arming.starting_position`.
        """
        if self._course.moving:
            raise InputError("arm", f"the filter is {self._course.state}", "disarm it first")
        self._guards.refuse_arming(now)
        if not 0.0 <= gripper_width < np.inf:
            raise InputError("arm", "the measured position is not usable", "check the gripper")
        commanded = None if self._base else self._held
        sample = self._guards.joints.sample(now)
        q = starting_position(
            self._robot, self._kinematics, self._limits, self._clearance,
            self._contract.action.kind == "tool_delta" and not for_reset, sample, q_measured,
            self._guards.joints.at_rest, commanded,
        )  # fmt: skip
        self._drive = Drive(
            self._robot, self._kinematics, self._clearance, self._contract, self._limits, q,
            gripper_width, self._missed,
        )  # fmt: skip
        self._guards.joints.follow_clocks(now)
        self._arbiter.begin(now)
        self._course.begin()
        self._pose, self._now, self._held = self._drive.pose, now, q
        self._waiting.begin()
        self._yielding = False

    def disarm(self) -> None:
        """Commands nothing more; a robot that moves follows its verified stop first."""
        drive = self._drive
        if drive is None or drive.at_rest or not self._course.moving:
            self._course.end()
            self._drive = self._pose = None
        else:
            self._course.stop(Problem(Reason.DISARMED, "an order to disarm"), State.DISARMED)
            drive.cancel_retreat()

    def engage(self, source: Source, engaged: bool, now: Instant) -> None:
        """Intervention or reset take command, or give it back; the higher one has it.

        The motion goes on from the target that there is. Commands stamped before are refused.

        Raises:
            InputError: the policy, which is in command when no other source is.
        """
        before = self._arbiter.engage(source, engaged, now)
        if before is not None:
            self._course.messages.append(f"{self._arbiter.in_command} takes over from {before}")

    def e_stop(self, pressed: bool, now: Instant, button: str = MAIN) -> None:
        """Takes an emergency stop's input; pressed, it latches. See :class:`EStop`."""
        problem = self._guards.e_stop.hear(pressed, now, button)
        if problem is not None:
            self._fault(problem)

    def reset_e_stop(self, now: Instant) -> None:
        """Unlatches the emergency stop; the filter still has to be armed.

        Raises:
            InputError: it is still pressed, its heartbeat is missing, or the robot moves.
        """
        self._guards.e_stop.reset(now, moving=self._course.moving)

    def deadman(self, held: bool, now: Instant) -> None:
        """Takes the enabling switch's state."""
        self._guards.deadman.hear(held, now)

    def pause(self, paused: bool) -> None:
        """Comes to rest and takes no commands, whoever sends them, until the pause is over."""
        self._waiting.paused = paused

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes new limits: any while disarmed, otherwise only stricter ones.

        Raises:
            InputError: they do not fit, or a change that an armed filter does not take; then
                nothing has changed.
        """
        check_settings(self._robot, self._contract, limits)
        if self._drive is None:
            self._clearance = Clearance(self._robot, limits)
        else:
            check_tightening(self._limits, limits)
            self._drive.tighten(limits)
        self._limits = limits
        self._guards.set_limits(limits, self._now)
        self._execution.set_limits(limits)

    # --- inputs

    def measured(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], positions: Sequence[float]
    ) -> Refusal | None:
        """Takes the measured joint positions (rad), names in any order."""
        return self._course.noted(
            self._guards.joints.measured(stamp_ns, arrival, names, positions)
        )

    def command(
        self,
        source: Source,
        stamp_ns: int,
        arrival: Instant,
        names: Sequence[str],
        values: Sequence[float],
    ) -> Refusal | None:
        """Takes a source's action of the control tick ``stamp_ns``, in the contract's units."""
        return self._course.noted(
            self._unwilling(arrival)
            or self._arbiter.command(source, stamp_ns, arrival, names, values)
        )

    def joints(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Takes the reset's absolute joint positions (rad) and opening (m); ``joint_names``.

        They are executed from rest on: between them and the contract's actions, in which any
        source commands, only a robot at rest changes.
        """
        if not self.joint_names:
            said = "reset joints refused: this robot's actions are of its base"
            return self._course.noted(Refusal(Reason.WRONG_NAMES, said))
        return self._course.noted(
            self._unwilling(arrival) or self._arbiter.joints(stamp_ns, arrival, names, values)
        )

    def residual(
        self, stamp_ns: int, arrival: Instant, names: Sequence[str], values: Sequence[float]
    ) -> Refusal | None:
        """Takes the residual of the policy's control tick ``stamp_ns``; alone it does nothing."""
        return self._course.noted(
            self._unwilling(arrival) or self._arbiter.residual(stamp_ns, arrival, names, values)
        )

    def wrench(
        self, stamp_ns: int, arrival: Instant, force: Vector, torque: Vector
    ) -> Refusal | None:
        """Takes what the surroundings do to the tool: force [3] in N and torque [3] in N*m,
        along the base frame's axes."""
        return self._course.noted(self._guards.wrench.hear(stamp_ns, arrival, force, torque))

    def body(self, stamp_ns: int, arrival: Instant, up: Vector) -> Refusal | None:
        """Takes the direction against gravity in the base frame, a vector [3] of length 1."""
        return self._course.noted(self._guards.body.hear(stamp_ns, arrival, up))

    # --- the tick

    def tick(self, now: Instant, skipped: int = 0) -> FilterOutput:
        """Advances by one filter period and says what to command now; never raises.

        The motion advances by one period however late the call is: a late tick slows the robot
        and never makes it leap.

        Args:
            now: the time on both clocks.
            skipped: how many ticks before this one were missed in a row.
        """
        self._now = now
        drive, course, executed = self._drive, self._course, None
        commanding = course.moving
        if drive is None or not commanding:
            self._guards.joints.follow_clocks(now)
        else:
            followed, executed = self._advance(now, max(skipped, 0), drive)
            if not followed:
                commanding = self._works(drive.stop)  # otherwise the controller has the last plan
                self._works(drive.settle)
            self._works(partial(self._look_at, drive))
            if course.state is State.STOPPING and drive.at_rest and not drive.retreating:
                course.rest()
        output = self._output(drive if commanding else None, executed)
        if course.state is State.DISARMED:
            course.end()
            self._drive = self._pose = None
        course.clear()
        return output

    def _advance(self, now: Instant, skipped: int, drive: Drive) -> tuple[bool, Executed | None]:
        """Whether a verified step was commanded, and the action accepted; nothing on a failure."""
        try:
            drive.skip(skipped)
            self._watch(now, skipped, drive)
            return self._lead(now, drive)
        except Exception as error:  # whatever it is, the stored stop is followed
            self._fault(Problem.of(error))
            return False, None

    def _works(self, step: Callable[[], None]) -> bool:
        """Whether a part did its work; when it fails the robot stops for good."""
        try:
            step()
        except Exception as error:
            self._fault(Problem.of(error))
            return False
        return True

    def _look_at(self, drive: Drive) -> None:
        self._pose, self._held = drive.pose, drive.q

    def _output(self, drive: Drive | None, executed: Executed | None) -> FilterOutput:
        """This tick's output; ``drive`` where something is commanded."""
        course = self._course
        plan = None if drive is None else drive.plan
        return FilterOutput(
            plan=plan,
            gripper_width=None if drive is None else drive.width,
            twist=plan.v[0].copy() if plan is not None and self._base else None,
            state=course.state,
            status=status_of(
                course.state,
                course.reasons,
                latched=self._guards.e_stop.latched,
                halted=executed is not None
                and not executed.joints
                and without_motion(self._contract.action, executed.values),
            ),
            reasons=course.reasons,
            cause=course.cause,
            messages=tuple(course.messages),
            executed=executed,
            reference=None if self._drive is not None and self._drive.by_joints else self._pose,
            source=self._arbiter.in_command if course.taking else None,
        )

    def _watch(self, now: Instant, skipped: int, drive: Drive) -> None:
        """Everything that stops the robot whatever is commanded."""
        for problem in self._guards.problems(now, skipped, drive.q):
            self._fault(problem)
        if skipped > 0 and self._course.taking:
            self._course.messages.append(f"{skipped} filter ticks were missed, {self._missed}")
        self._feel(drive)

    def _feel(self, drive: Drive) -> None:
        excess, rule = self._guards.wrench.excess(), self._guards.wrench.rule
        before, self._yielding = self._yielding, False
        if excess is None or rule is None or not self._course.taking:
            drive.stand_firm()
            return
        self._course.reasons |= excess.reason
        if rule.reaction == "yield":
            self._yielding = True
            if not before:
                self._course.messages.append(f"{excess.message}: giving way")
            return
        self._course.stop(excess, State.STOPPED)
        if rule.reaction == "retreat":
            drive.order_retreat(rule.retreat_s)

    def _lead(self, now: Instant, drive: Drive) -> tuple[bool, Executed | None]:
        """Takes this tick's command; whether a step was commanded, and what was accepted."""
        if not self._course.taking:
            if self._guards.deadman.released(now):
                drive.cancel_retreat()
            reasons = drive.retreat()
            self._course.reasons |= NONE if reasons is None else reasons
            return reasons is not None, None
        if self._waits(now, drive):
            return False, None
        if self._yielding and self._guards.wrench.rule is not None:
            self._course.state = State.HOLDING
            self._arbiter.refresh(now)
            drive.give_way(self._guards.wrench.way(), self._guards.wrench.rule.yield_speed)
            self._course.reasons |= drive.follow()
            return True, None
        executed = self._execution.execute(now, drive, self._course)
        self._course.judge(self._arbiter, now)
        if self._course.state is State.STOPPING:
            return False, executed
        self._course.reasons |= drive.follow()
        return True, executed

    def _waits(self, now: Instant, drive: Drive) -> bool:
        """Whether something keeps the robot at rest, or on its way there, for the time being."""
        why, began = self._waiting.tick(now, drive.at_rest)
        if why is None:
            return False
        self._course.reasons |= why.reason
        if began:
            self._course.messages.append(f"{why.message}: stopping, holding")
        self._course.state = State.HOLDING
        self._arbiter.refresh(now)
        return True

    def _fault(self, problem: Problem) -> None:
        """Stops for good, and not further than the stored stop goes."""
        self._course.fault(problem)
        if self._drive is not None:
            self._drive.cancel_retreat()

    def _unwilling(self, arrival: Instant) -> Refusal | None:
        """Why no command is taken now, whoever sends it."""
        if not self._course.taking:
            return Refusal(Reason.NOT_ARMED, f"the filter is {self.state}; arm it first")
        why = self._waiting.why(arrival)
        if why is not None:
            return Refusal(*why)
        if self._yielding:
            return Refusal(Reason.WRENCH, "the tool is giving way to a force")
        return None
