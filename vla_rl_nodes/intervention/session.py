"""Who of several devices has the robot, from taking over to giving back, and what it commands."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.device import Device
from vla_rl_nodes.intervention.grip import Grip
from vla_rl_nodes.intervention.moves import Moves, Off
from vla_rl_nodes.intervention.ramp import Ramp
from vla_rl_nodes.intervention.reference import Reference
from vla_rl_nodes.safety.state import Instant

Array = NDArray[np.float64]

HANDSHAKE_NS = 1_000_000_000  # that the filter may take to follow a person who takes over


class State(StrEnum):
    """What the person's side is doing; the messages of ``intervention/status``."""

    IDLE = "idle"  # nobody has taken over
    MATCHING = "matching"  # a leader is being brought to where the robot is
    ACTIVE = "active"  # the person's motion is commanded
    RELEASING = "releasing"  # let go: the command fades, and may be taken up again
    LOST = "lost"  # the device failed: the robot is held


class Session:
    """The first device that engages has the robot until it gives it back.

    Whatever the devices send, an action is finite and inside the contract's bounds, and its
    motion grows from nothing: at taking over, at the return of a lost device, and after a leader
    has come to where the robot is.

    Where the filter does not follow, because it is disarmed, waits or has turned to somebody
    else, nothing goes on from before: a leader is matched anew, a stick or cap has to be at rest
    first, and the gripper's opening is what there is then.

    Args:
        contract: the action's axes.
        moves: of the contract's kind of action.
        devices: in the order in which they are asked.
        default: the device that :meth:`take_over` engages.

    Attributes:
        state: what is going on.
        owner: the device that has the robot, or is coming to it.
        reason: why the state is what it is, in a few words.
        in_command: whether the robot is the person's.
        off: the leader's distances while it is matching.
        abort: whether the episode is to be aborted, for the loss of a device.
    """

    def __init__(
        self, contract: Contract, moves: Moves, devices: Sequence[Device], default: Device
    ) -> None:
        self.state, self.reason = State.IDLE, ""
        self.owner: Device | None = None
        self.in_command = self.abort = False
        self.off: list[Off] = []
        self._moves, self._devices, self._default = moves, devices, default
        self._grip = Grip(contract.action)
        self._ramp = Ramp()
        self._kept = False  # by the service: letting go does not give back
        self._moved = False  # whether the owner itself has asked for the robot
        self._since_ns = 0  # of letting go, or of the loss, steady clock
        self._asked_ns = 0  # when the robot was last not the person's, steady clock
        self._followed = False  # whether the filter has followed since
        self._broken = False  # whether it has ceased to, or does not begin to
        self._held_off = False  # until what is pushed has been at rest

    # --- orders

    def take_over(self, now: Instant) -> None:
        """A person asks for the robot: it is held until a device moves it, or :meth:`release`.

        Raises:
            InputError: another device has it.
        """
        if self.owner is not None and self.state is not State.LOST:
            if self.owner is not self._default:
                raise InputError(
                    "take_over", f"{self.owner.name} is in command", "let go of it, or release"
                )
        else:
            self._begin(self._default, now, "asked for")
        self._kept = self.in_command = True

    def release(self) -> None:
        """A person gives the robot back."""
        for device in self._devices:
            device.must_rest()
        self._end("given back")

    def episode_over(self) -> None:
        """What was aborted for the loss of a device need not be held any more."""
        if self.abort:
            self._end("the episode was aborted")

    # --- the devices

    def look(
        self, now: Instant, reference: Reference | None, listens: bool = True, waits: bool = False
    ) -> None:
        """Follows the time and what the devices have said.

        Args:
            now: on both clocks.
            reference: where the robot was sent; None while the filter commands nothing.
            listens: whether the filter says that the robot is the person's.
            waits: whether it takes no commands for the time being, as while paused.
        """
        for device in self._devices:
            device.look(now)
        if not self.in_command:
            self._asked_ns, self._followed, self._held_off = now.steady_ns, False, False
        self._choose(now)
        owner = self.owner
        for device in self._devices:
            if device is owner:
                continue
            device.take_presses()
            if device.wants:  # who comes second has to come again
                device.must_rest()
        if owner is None:
            self._ramp.follow(now.steady_ns, False, self._default.settings.blend)
            return
        follows = reference is not None and not waits and (listens or not self.in_command)
        self._follow_filter(owner, now, follows)
        self._advance(owner, now, reference, follows)
        rising = self.state is State.ACTIVE and self._moves_now(owner) and follows
        self._ramp.follow(now.steady_ns, rising, owner.settings.blend)
        let_go_s = (now.steady_ns - self._since_ns) / 1e9
        over = let_go_s >= owner.settings.release_delay_s and self._ramp.share == 0.0
        if self.state is State.RELEASING and over:
            self._end("let go")

    def command(self, reference: Reference | None) -> Array | None:
        """The action [axes] for this control tick; None where nothing is to go on from.

        Args:
            reference: where the robot was sent; None while the filter commands nothing.
        """
        if reference is None:
            return None
        share, owner = self._ramp.share, self.owner
        follows = self.state in (State.ACTIVE, State.RELEASING)
        reading = None if owner is None else owner.reading
        leads = owner is not None and owner.is_leader
        if owner is None or not follows or (leads and reading is None):
            arm = self._moves.hold(reference)
        elif leads and reading is not None:
            arm = self._moves.follow(reference, owner.settings, reading.motion, share)
            if reading.opening is not None:
                self._grip.follow(reading.opening)
        else:
            arm = self._moves.push(reference, owner.settings, share * owner.motion)
        action = self._grip.joined(arm, reference.opening)
        if self._broken:
            self._grip.forget()
        return action

    # --- inside

    def _moves_now(self, owner: Device) -> bool:
        """Whether what the owner says moves the robot: not while it is only kept, but for a
        leader that matched, which has no rest to go on from."""
        asked = self._kept and owner.is_leader and owner.settings.engage.by == "button"
        return (owner.wants or asked) and not self._held_off

    def _follow_filter(self, owner: Device, now: Instant, follows: bool) -> None:
        """Drops what was going on when the filter does not follow, or not soon enough."""
        late = now.steady_ns - self._asked_ns > HANDSHAKE_NS
        self._broken = self.in_command and not follows and (self._followed or late)
        if follows:
            self._followed = self.in_command
            self._held_off = self._held_off and not owner.centred
        elif self._broken:
            self._ramp.drop()
            self._grip.forget()
            owner.take_presses()
            if not owner.is_leader:
                self._held_off = True
            elif self.state is State.ACTIVE:
                self.state = State.MATCHING

    def _choose(self, now: Instant) -> None:
        """A device that asks gets a robot that nobody has, or that nobody has moved yet."""
        if self.owner is not None and (self._moved or not self._kept):
            return
        for device in self._devices:
            if device.wants and not device.problem:
                kept, in_command = self._kept, self.in_command
                self._begin(device, now, "engaged")
                self._moved, self._kept = True, kept
                self.in_command = self.in_command or in_command
                return

    def _begin(self, device: Device, now: Instant, reason: str) -> None:
        self.owner, self.reason, self._since_ns = device, reason, now.steady_ns
        self.abort = self._kept = self._moved = False
        self._ramp.drop()
        self._engage(device)

    def _engage(self, device: Device) -> None:
        """Takes up what the device says; a leader must be where the robot is first."""
        leader = device.settings.leader
        self.state = State.ACTIVE if leader is None else State.MATCHING
        self.in_command = self.in_command or leader is None or leader.matching.hold

    def _end(self, reason: str) -> None:
        if self.owner is not None:
            self.owner.must_rest()
            self.reason = f"{self.owner.name}: {reason}"
        self.owner, self.state = None, State.IDLE
        self.in_command = self.abort = self._kept = self._moved = False
        self.off = []
        self._ramp.drop()
        self._grip.forget()

    def _advance(
        self, owner: Device, now: Instant, reference: Reference | None, follows: bool
    ) -> None:
        self._moved = self._moved or owner.wants
        if self.state is State.LOST:
            if owner.take_presses():
                owner.look(now)  # a button of the gripper takes nothing up
            self._find_again(owner, now)
        elif owner.problem and self._moved:
            self._lose(owner, now)
        elif self.state is State.MATCHING:
            self._match(owner, now, reference, follows)
        elif owner.wants or self._kept:
            self.state = State.ACTIVE
            self.reason = owner.problem or ("engaged" if owner.wants else "asked for")
            if self._held_off:
                self.reason = "the filter did not follow: let go first"
                owner.take_presses()
            else:
                self._grip.press(owner.take_presses())
        else:
            owner.take_presses()
            if self.state is State.ACTIVE:
                self.state, self.reason, self._since_ns = State.RELEASING, "let go", now.steady_ns

    def _lose(self, owner: Device, now: Instant) -> None:
        if not self.in_command:  # it was only on its way
            self._end(owner.problem)
            return
        self.state, self.reason, self._since_ns = State.LOST, owner.problem, now.steady_ns
        self.off = []
        self._ramp.drop()

    def _find_again(self, owner: Device, now: Instant) -> None:
        """A lost device: a person takes it up anew, or what its rule says happens."""
        if owner.wants and not owner.problem:
            self.reason, self.abort = "back", False
            self._engage(owner)
            return
        rule = owner.settings.on_loss
        held_s = (now.steady_ns - self._since_ns) / 1e9
        if rule.then == "hold" or self._kept or held_s < rule.after_s:
            return
        if rule.then == "abort":
            self.abort = True
        else:
            self._end(self.reason)

    def _match(
        self, owner: Device, now: Instant, reference: Reference | None, follows: bool
    ) -> None:
        if not owner.wants and not self._kept:
            self._end("let go before it matched")
            return
        owner.take_presses()  # while the leader is brought there, nothing is commanded
        reading, leader = owner.reading, owner.settings.leader
        if reading is None or leader is None or reference is None:
            self.reason = owner.problem or "waits for safety/reference"
            return
        self.off = self._moves.off(reference, owner.settings, reading.motion)
        if reading.opening is not None:
            wide = self._grip.off(reading.opening, reference.opening)
            self.off.append(Off("gripper_width", wide, leader.matching.gripper))
        far = [off for off in self.off if not abs(off.error) <= off.allowed]
        self.reason = "bring the leader to the robot" if follows else "waits for the filter"
        if not far and not owner.problem and follows:
            self.state, self.reason, self.off = State.ACTIVE, "engaged", []
            self.in_command = self._moved = True
