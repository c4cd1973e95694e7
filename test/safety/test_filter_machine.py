"""Whatever order things happen in: no motion without arming, the latch holds, ranks hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.limits import WrenchRule
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Source, State
from vla_rl_nodes.safety.status import Status

from .fakes import MS, FakeRig

RULE = WrenchRule(
    force_max=10.0, torque_max=5.0, reaction="retreat", timeout_s=0.2, retreat_s=0.06
)
ALLOWED = {  # what the next tick may find, from what an order or the last tick left
    State.DISARMED: {State.DISARMED},
    State.STOPPED: {State.STOPPED},
    State.FAULTED: {State.FAULTED},
    State.STOPPING: {State.STOPPING, State.STOPPED, State.FAULTED, State.DISARMED},
}


class Machine(RuleBasedStateMachine):
    """Drives a filter whose target and motion are stand-ins, and keeps its own books."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.rig = FakeRig(self.patch, wrench=RULE, deadman_timeout_s=0.1, e_stop_timeout_s=0.1)
        self.latched = self.pressed = False
        self.engaged: set[Source] = set()
        self.commanded: tuple[Source, int] | None = None

    def teardown(self) -> None:
        self.patch.undo()

    @initialize()
    def begin(self) -> None:
        self.tick(1, False, 0, 0)

    @rule(
        ticks=st.integers(1, 12),
        lost=st.sampled_from([False, False, False, True]),
        skipped=st.sampled_from([0, 0, 0, 0, 3, 10]),
        jump_ms=st.sampled_from([0, 0, 0, 0, 0, 45, 300, -300]),
    )
    def tick(self, ticks: int, lost: bool, skipped: int, jump_ms: int) -> None:
        rig = self.rig
        rig.now = rig.now._replace(ros_ns=rig.now.ros_ns + jump_ms * MS)
        for _ in range(ticks):
            before, plan = rig.filter.state, None
            if rig.outputs and rig.outputs[-1].plan is not None:
                plan = rig.outputs[-1].plan
            rig.later(10)
            if not lost:
                rig.hear()
                if self.pressed:
                    rig.filter.e_stop(True, rig.now)
            ahead = rig.filter.state
            output = rig.filter.tick(rig.now, skipped)
            rig.outputs.append(output)
            self.judge(before if not self.pressed else ahead, output, plan)
            if output.q_command is not None:
                rig.q = output.q_command
            skipped = 0
            self.latched = self.latched or output.status is Status.E_STOP
            rig.command(Source.POLICY)

    def judge(self, before: State, output: Any, plan: Any) -> None:
        assert output.state in ALLOWED.get(before, set(State) - {State.DISARMED})
        if before in (State.DISARMED, State.STOPPED, State.FAULTED):
            assert output.plan is None and output.executed is None
        if before is State.STOPPING:
            assert output.executed is None
        if output.executed is not None:
            assert output.state in (State.ARMED, State.HOLDING)
            assert output.source is self.in_command()
            assert rig_held(self.rig)
            assert not self.latched
        if output.plan is not None:
            assert not output.plan.v[-1].any()  # it ends at rest
        if (
            output.state in (State.STOPPED, State.FAULTED, State.DISARMED)
            and output.plan is not None
        ):
            np.testing.assert_array_equal(output.plan.v[0], 0.0)  # it has come to rest by then
        if plan is not None and output.plan is not None and before is State.STOPPING:
            # Its stop, or the way back after it: never on from where the last stop led.
            where = output.q_command
            on_stop = any(np.array_equal(where, row) for row in plan.q)
            assert on_stop or "back" in self.rig.target.calls

    def in_command(self) -> Source:
        return next((s for s in Source if s in self.engaged), Source.POLICY)

    @rule()
    def arm(self) -> None:
        rig = self.rig
        able = rig.filter.state in (State.DISARMED, State.STOPPED, State.FAULTED)
        rig.later(1)
        rig.hear()
        if self.pressed:
            rig.filter.e_stop(True, rig.now)
            self.latched = True
        try:
            rig.filter.arm(rig.now, rig.q, 0.04)
        except InputError:
            assert not able or rig.filter.state is not State.ARMED
        else:
            assert able and not self.latched and not self.pressed
            assert rig.filter.state is State.ARMED

    @rule()
    def disarm(self) -> None:
        self.rig.filter.disarm()
        assert self.rig.filter.state in (State.DISARMED, State.STOPPING)

    @rule(source=st.sampled_from([Source.INTERVENTION, Source.RESET]), engaged=st.booleans())
    def engage(self, source: Source, engaged: bool) -> None:
        self.rig.filter.engage(source, engaged, self.rig.now)
        (self.engaged.add if engaged else self.engaged.discard)(source)

    @rule(source=st.sampled_from(list(Source)))
    def command(self, source: Source) -> None:
        rig = self.rig
        rig.later(1)
        refusal = rig.command(source)
        if rig.filter.state not in (State.ARMED, State.HOLDING):
            assert refusal is not None and refusal.reason is Reason.NOT_ARMED
        elif source is not self.in_command():
            assert refusal is not None

    @rule(pressed=st.booleans())
    def e_stop(self, pressed: bool) -> None:
        self.rig.filter.e_stop(pressed, self.rig.now)
        self.pressed = pressed
        self.latched = self.latched or pressed
        if pressed:
            assert self.rig.filter.state in (State.DISARMED, State.STOPPING, State.FAULTED)

    @rule()
    def reset(self) -> None:
        still = self.rig.filter.state in (State.DISARMED, State.STOPPED, State.FAULTED)
        try:
            self.rig.filter.reset_e_stop(self.rig.now)
        except InputError:
            return
        assert still and not self.pressed
        self.latched = False

    @rule(held=st.booleans())
    def deadman(self, held: bool) -> None:
        self.rig.held = held

    @rule(force=st.sampled_from([0.0, 0.0, 9.0, 50.0]))
    def press(self, force: float) -> None:
        self.rig.force = [0.0, force, 0.0]

    @invariant()
    def latched_means_no_motion_is_led(self) -> None:
        if self.latched:
            assert self.rig.filter.state not in (State.ARMED, State.HOLDING)


def rig_held(rig: FakeRig) -> bool:
    return not rig.filter._guards.deadman.released(rig.now)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
