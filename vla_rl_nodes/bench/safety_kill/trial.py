"""One trial: an episode, a death at a random instant, the arm's rest, and a quiet restart."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from std_msgs.msg import Bool

from vla_rl_nodes.bench.safety_kill.bounds import Fault
from vla_rl_nodes.bench.safety_kill.judge import AT_REST, RESTS_NS, Judge, Times, Verdict
from vla_rl_nodes.bench.safety_kill.record import Ears, Trace
from vla_rl_nodes.bench.safety_kill.victims import INTERVENTION, Victims
from vla_rl_nodes.bench.tick.beside import Beside
from vla_rl_nodes.episodes.machine import OUTCOMES
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.nodes.qos import STREAM

MOVING = 0.15  # rad/s, of the fastest joint: from here on the victim's time runs
LONGEST_DELAY_S = 1.5
QUIET_NS = 500_000_000  # nothing may move for so long, after the rest and after the restart
STALL_NS = 10_000_000  # a stall of the whole machine as long as a filter period, or longer
STARTS = 6  # episodes that may end before the kill, in a row
PATIENCE_NS = 1_000_000_000  # longer than any bound; the restart begins no earlier
SPEAKING = ("proprio_ingest", "camera_ingest", "safety_filter")
HEALTHY = 5  # messages of a restarted process, before the next trial begins
_REST_NS = 5_000_000_000
_UP_S = 30.0
# Fast DDS's shared memory makes a process that writes wait for a third of a second when another
# one has died, or begins (its port check, Fast DDS #6535). The simulated arm stands still then.
HELD_NS = 200_000_000
# What a machine or a middleware that stands still may do to a trial. Never a limit of the motion.
EXCUSED = {"seam", "rest", "unmeasured", "cause"}
_OVER = [outcome.value for outcome in OUTCOMES]


@dataclass(frozen=True)
class Plan:
    """One trial: its number, who dies, the episode's seed, and when, s after the arm moves."""

    number: int
    victim: str
    seed: int
    delay_s: float


@dataclass(frozen=True)
class Trial:
    """What was seen in one trial.

    Attributes:
        plan: what was done.
        verdict: what became of it.
        stalls_ms: stalls of the whole machine meanwhile, of ``STALL_NS`` or more, by a process
            of the highest real-time priority that only sleeps.
        held_ms: how long the middleware held a message of a process up, of ``HELD_NS`` or more:
            from its writing to its arrival here, by the process's name.
        early: why episodes ended before the kill; they were started again.
    """

    plan: Plan
    verdict: Verdict
    stalls_ms: list[float]
    held_ms: dict[str, float]
    early: list[str]

    @property
    def failed(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.verdict.faults)

    @property
    def spoilt(self) -> str:
        """What explains everything that was wrong, and was measured; empty: nothing does."""
        if not self.failed or not {fault.kind for fault in self.verdict.faults} <= EXCUSED:
            return ""
        return "machine" if self.stalls_ms else "middleware" if self.held_ms else ""


def draw(seed: int, number: int, victim: str) -> Plan:
    """A trial's random part, from the bench's seed and the trial's number alone."""
    generator = np.random.default_rng([seed, number])
    episode = int(generator.integers(0, 1_000_000))
    return Plan(number, victim, episode, float(generator.uniform(0.0, LONGEST_DELAY_S)))


class Bench:
    """Runs trials on a graph that is up.

    Args:
        driver: a client of the graph.
        ears: of the same node.
        victims: the graph's processes.
        judge: gives the verdicts.
        folder: for the probe's files.
        check: raises when a node has ended by itself.
    """

    def __init__(
        self,
        driver: Driver,
        ears: Ears,
        victims: Victims,
        judge: Judge,
        folder: Path,
        check: Callable[[], None],
    ) -> None:
        self._driver, self._ears, self._victims, self._judge = driver, ears, victims, judge
        self._folder, self._check = folder, check
        self._active = driver.node.create_publisher(Bool, "intervention/active", STREAM)

    def run(self, plan: Plan) -> Trial:
        """One trial.

        Raises:
            InputError: the graph is broken: a node ended by itself, or did not answer.
        """
        out = self._folder / "stalls.json"
        with Beside("probe", ("--out", out), self._folder):
            times, trace, early = self._go(plan)
        verdict = self._judge.judge(plan.victim, trace, times)
        ahead = self._now() - time.monotonic_ns()
        stalls = [
            round((to - since) / 1e6, 1)
            for since, to in json.loads(out.read_text())["stalls"]
            if to - since >= STALL_NS and to + ahead >= times.asked and since + ahead <= times.end
        ]
        held = {who: ns / 1e6 for who, ns in trace.held_ns.items() if ns >= HELD_NS}
        return Trial(plan, verdict, stalls, held, early)

    def rearm(self, seed: int) -> None:
        """Starts an episode, until it moves the arm, and ends it: after the last trial too.

        Raises:
            InputError: no episode moved the arm.
        """
        early: list[str] = []
        self._start(Plan(-1, "policy", seed, 0.0), early)
        self._driver.abort()

    def _go(self, plan: Plan) -> tuple[Times, Trace, list[str]]:
        early: list[str] = []
        intervenes = plan.victim == INTERVENTION
        try:
            if intervenes:
                before = self._victims.ups(plan.victim)
                self._victims.begin_intervention(plan.seed)
                self._wait_until_up(plan.victim, before)
            while True:
                asked, episode = self._start(plan, early)
                time.sleep(plan.delay_s)  # a random instant is the point
                if self._driver.state(episode) == "running":
                    killed = self._now()
                    self._victims.kill(plan.victim)
                    break
                self._again(episode, early)
            self._watch(lambda: self._rest(killed) is not None, killed + _REST_NS)
            quiet = (self._rest(killed) or self._now()) + RESTS_NS + QUIET_NS
            self._watch(lambda: False, max(quiet, killed + PATIENCE_NS))
            before, given = self._victims.ups(plan.victim), self._ears.given_by(plan.victim)
            self._victims.restart(plan.victim, plan.seed)
            self._wait_until_up(plan.victim, before)
            restarted = self._now()
            self._driver.wait(
                lambda: plan.victim not in SPEAKING
                or self._ears.given_by(plan.victim) >= given + HEALTHY,
                _UP_S, f"{plan.victim}'s messages",
            )  # fmt: skip
            self._watch(lambda: False, restarted + QUIET_NS)
            self._forget(episode)
            times = Times(asked, killed, restarted, self._now())
            trace = self._ears.take()
        finally:
            if intervenes:
                self._victims.end_intervention()
                self._active.publish(Bool(data=False))
        self._check()
        return times, trace, early

    def _wait_until_up(self, victim: str, before: int) -> None:
        """Waits until a process has come up once more often than before."""
        self._driver.wait(lambda: self._victims.ups(victim) > before, _UP_S, f"{victim} again")

    def _commands(self, plan: Plan) -> bool:
        """Whether whoever is to die is in command, where it is the person."""
        event = self._driver.event("safety/status")
        source = "" if event is None else event.values.get("source", "")
        return plan.victim != INTERVENTION or source == INTERVENTION

    def _start(self, plan: Plan, early: list[str]) -> tuple[int, str]:
        """When an episode was asked for, and its id, as soon as it runs and the arm moves."""
        while True:
            asked = self._now()
            episode = self._driver.start_episode(plan.seed + len(early))

            def stands(episode: str = episode) -> str:
                state = self._driver.state(episode)
                if state in _OVER:
                    return "over"
                moving = self._ears.speed() > MOVING and self._commands(plan)
                return "moves" if state == "running" and moving else ""

            if self._driver.wait(stands, 30.0, "motion") == "moves":
                return asked, episode
            self._again(episode, early)

    def _again(self, episode: str, early: list[str]) -> None:
        """Notes why an episode was over before the kill.

        Raises:
            InputError: too often in a row.
        """
        early.append(self._forget(episode))
        if len(early) >= STARTS:
            raise InputError("episodes", f"end before a kill ({early[-1]})", "read the logs")
        self._ears.take()  # another episode's motion

    def _forget(self, episode: str) -> str:
        """Waits for an episode's end, removes its bag; gives outcome and reason."""
        result = self._driver.finish(episode, 0, 10.0)
        if result.bag is not None:
            shutil.rmtree(result.bag)  # hundreds of episodes fill a disk
        return f"{result.outcome}: {result.reason}"

    def _rest(self, killed_ns: int) -> int | None:
        return self._ears.rest_since(killed_ns, AT_REST, RESTS_NS)

    def _watch(self, done: Callable[[], bool], until_ns: int) -> None:
        """Waits for something, or for a time."""
        self._driver.wait(lambda: done() or self._now() >= until_ns, 60.0, "the end of a watch")

    def _now(self) -> int:
        return int(self._driver.node.get_clock().now().nanoseconds)


def broken(plan: Plan, error: InputError) -> Trial:
    """A trial that the graph itself ended."""
    fault = Fault("graph", " ".join(str(error).split()))
    return Trial(plan, Verdict(None, 0.0, {}, 0.0, 0.0, "", [fault]), [], {}, [])
