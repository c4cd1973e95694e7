"""Somebody else takes the arm and gives it back: what was planned before is never executed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.following import FOLLOWED, Following
from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.runtime import Acted, ChunkRuntime
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError

CONTRACT = load_contract("plane")
PERIOD_NS = CONTRACT.period_ns
LENGTH, AXES = CONTRACT.action.chunk_length, len(CONTRACT.action.names)
REPLAN = 4
LOST_AFTER = 20
NAMES = {"prefix": Merge.SPLICE, "naive_async": Merge.SPLICE, "sync": Merge.WAIT,
         "temporal_ensemble": Merge.AVERAGE}  # fmt: skip


class Dated:
    """An action is the number of the tick whose observation it was planned from."""

    def __init__(self, name: str, fails: Callable[[int], bool]) -> None:
        self.name, self.merge, self._fails = name, NAMES[name], fails
        self.bounded_delay = name == "prefix"
        self.jobs: list[Job] = []

    def plan(self, job: Job) -> Plan:
        self.jobs.append(job)
        if self._fails(len(self.jobs) - 1):
            raise InputError("network", "fails", "repair it")
        chunk = np.full((LENGTH, AXES), job.stamp_ns / PERIOD_NS)
        if self.bounded_delay:
            chunk[: job.request.delay] = job.request.prefix
        return Plan(chunk)


@dataclass
class Ticked:
    """One control tick."""

    number: int
    following: Following
    acted: Acted


@dataclass
class Arm:
    """A runtime on an arm that changes hands. ``observed`` are the delays that it learnt from."""

    delay: Callable[[int], int]
    name: str = "prefix"
    fails: Callable[[int], bool] = lambda number: False
    ticks: list[Ticked] = field(default_factory=list)
    observed: list[int] = field(default_factory=list)
    following: Following = FOLLOWED

    def __post_init__(self) -> None:
        chosen = ChunkingSettings.model_validate(
            {"chunking": 1, "strategy": {"name": self.name}, "replan_every": REPLAN,
             "answer_timeout_s": LOST_AFTER / CONTRACT.policy_hz}
        )  # fmt: skip
        self.strategy = Dated(self.name, self.fails)
        self.worker: DelayedWorker[Job, Plan] = DelayedWorker(
            self.strategy.plan, self.delay, PERIOD_NS / 1e6
        )
        submit = self.worker.submit

        def alone(job: Job) -> None:
            assert not self.worker.busy
            submit(job)

        self.worker.submit = alone  # type: ignore[method-assign]
        self.runtime = ChunkRuntime(CONTRACT, chosen, self.strategy, "v1", self.worker)
        observe = self.runtime.queue.estimate.observe

        def learn(ticks: int) -> None:
            self.observed.append(ticks)
            observe(ticks)

        self.runtime.queue.estimate.observe = learn  # type: ignore[method-assign]
        self.now = 0

    def turn(self, followed: bool) -> None:
        """The filter says who is in command."""
        self.following = self.following.turned(followed)

    def tick(self, blind: bool = False) -> None:
        self.worker.begin_tick()
        if not blind:
            acted = self.runtime.tick(self.now * PERIOD_NS, {}, self.following)
            self.ticks.append(Ticked(self.now, self.following, acted))
        self.now += 1

    def run(self, followed: bool, count: int) -> list[Acted]:
        self.turn(followed)
        before = len(self.ticks)
        for _ in range(count):
            self.tick()
        return [ticked.acted for ticked in self.ticks[before:]]


STRETCHES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=100, deadline=None)
@given(
    stretches=STRETCHES,
    delays=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    failing=st.sets(st.integers(0, 30)),
    name=st.sampled_from(sorted(NAMES)),
)
def test_no_plan_from_before_a_hand_back_is_followed(
    stretches: list[tuple[bool, int, bool]], delays: list[int], failing: set[int], name: str
) -> None:
    arm = Arm(lambda n: delays[n % len(delays)], name, failing.__contains__)
    for followed, count, blind in stretches:
        arm.turn(followed)
        for _ in range(count):
            arm.tick(blind)
    arm.run(True, 20)
    since = reprimed = 0
    back, acted_since = arm.ticks[0].following.hand_backs, True
    for ticked in arm.ticks:
        values, action = ticked.acted.values, ticked.acted.action
        followed = ticked.following.followed
        assert values["followed"] == str(int(followed))
        if ticked.following.hand_backs != back:
            back, since, acted_since = ticked.following.hand_backs, ticked.number, False
        if followed:
            if action is not None:
                assert action.min() >= since
                acted_since = True
            elif not acted_since:
                reprimed += 1
                assert values["starved"] == "0"
        else:
            acted_since = True  # whoever takes over ends the waiting
            assert values["starved"] == "0"
            assert not [key for key in values if key.startswith(("seam", "inner", "prefix_err"))]
        in_time = "prefix_error" in values
        in_time = in_time and int(values["delay"]) <= int(values["prefix_length"])
        if in_time and name == "prefix":
            assert float(values["prefix_error"]) == 0.0
        if ticked.acted.asked is not None and not followed:
            asked = ticked.acted.asked.request
            assert asked.delay == 0 and len(asked.ahead) == 0
        assert int(values["reprimed_ticks"]) == reprimed
    assert arm.runtime.counts.reprimed == reprimed
    # What was learnt of delays: those of the plans that were followed, and of no other.
    asked_at = {id(t.acted.asked): row for row, t in enumerate(arm.ticks)}
    took = [
        row - asked_at[id(ticked.acted.answered)]
        for row, ticked in enumerate(arm.ticks)
        if ticked.acted.answered is not None and ticked.following.followed
    ]
    queue = arm.runtime.queue
    assert len(arm.observed) == queue.counts.used + queue.counts.late
    short = queue.max_delay  # what took longer is used only from rest
    assert [n for n in arm.observed if n <= short] == [n for n in took if n <= short]


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("delay", range(7))
def test_a_proposal_at_every_tick_and_a_short_wait_after_it(name: str, delay: int) -> None:
    for length in (1, 2, 3, 5, 8, 13, 18):
        arm = Arm(lambda number: delay, name)
        arm.run(True, 3 * LENGTH)
        while arm.ticks[-1].acted.action is None:  # waiting for chunks is sync's way
            arm.tick()
        proposed = arm.run(False, length)
        assert all(acted.action is not None for acted in proposed)
        back = arm.run(True, 3 * LENGTH)
        held = [acted.action is None for acted in back]
        waits = held.index(False)
        # What the worker is busy with has to end before it can begin anew.
        assert delay <= waits <= 2 * delay
        assert int(back[-1].values["reprimed_ticks"]) == waits
        assert back[waits].values["chunk_index"] == "0"
        assert arm.runtime.counts.lost == arm.runtime.counts.late == 0
        assert not [line for ticked in arm.ticks for line in ticked.acted.problems]
        assert set(arm.observed) == {delay}
        if name != "sync":
            assert sum(held) == waits and arm.runtime.counts.starved == 0


def test_proposals_are_made_anew_every_few_ticks() -> None:
    arm = Arm(lambda number: 2)
    arm.run(True, 40)
    taken = arm.now
    arm.run(False, 40)
    ages = [
        ticked.number - ticked.acted.action[0]
        for ticked in arm.ticks
        if ticked.number >= taken + 6 and ticked.acted.action is not None
    ]
    assert max(ages) == REPLAN + 2 - 1 and min(ages) == 2
    # And they pass with the ticks: row k is for the k-th tick after the one it was planned at.
    last = arm.ticks[-1].acted
    assert last.action is not None
    assert int(last.values["chunk_index"]) == arm.ticks[-1].number - last.action[0]


def test_a_plan_that_hangs_while_a_person_acts_starves_nobody() -> None:
    arm = Arm(lambda number: 1 if number < 5 else 10_000)
    arm.run(True, 20)
    acted = arm.run(False, 60)
    assert acted[-1].action is None
    assert {a.values["starved"] for a in acted} == {"0"} and arm.runtime.counts.starved == 0
    assert arm.runtime.counts.lost == 1


def test_the_first_chunk_of_an_episode_stays_good_when_somebody_takes_over() -> None:
    arm = Arm(lambda number: 5)
    arm.run(True, 2)
    proposed = arm.run(False, 6)
    assert [a.action is None for a in proposed] == [True] * 3 + [False] * 3
    assert proposed[3].values["chunk_index"] == "3"  # the arm has not waited for it


def test_what_is_under_way_bridges_the_time_until_a_plan_of_now() -> None:
    arm = Arm(lambda number: 6)
    arm.run(True, 40)
    while arm.ticks[-1].acted.asked is None:
        arm.tick()
    asked, taken = arm.ticks[-1].number, arm.now
    dates = [a.action[0] for a in arm.run(False, 14) if a.action is not None]
    assert len(dates) == 14 and dates[:5] < [asked] * 5
    assert [date for date in dates if date == asked]  # with its rows behind the committed ones
    assert dates[-1] >= taken


def test_two_changes_of_hands_while_nothing_is_seen_are_noticed() -> None:
    arm = Arm(lambda number: 1)
    arm.run(True, 30)
    arm.turn(False)
    arm.tick(blind=True)
    arm.turn(True)
    first = arm.run(True, 1)[0]
    assert first.action is None and first.values["reprimed_ticks"] == "1"


def test_a_new_episode_forgets_who_was_in_command() -> None:
    arm = Arm(lambda number: 1)
    arm.run(True, 10)
    arm.run(False, 10)
    arm.turn(True)
    arm.runtime.start_episode()
    acted = arm.run(True, 3)
    assert [a.action is None for a in acted] == [True, False, False]
    assert acted[-1].values["reprimed_ticks"] == "0"
