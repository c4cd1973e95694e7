"""reset: puts robot and task to the next episode's start, and asks a person when it cannot."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import Trigger

from vla_rl_nodes.bags.durable import write_durably
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.episodes.reset.kit import Kit, Pending, make_kit
from vla_rl_nodes.episodes.reset.moveit import MoveItPlanner
from vla_rl_nodes.episodes.reset.planner import Planner
from vla_rl_nodes.episodes.reset.retreat import RetreatRun
from vla_rl_nodes.episodes.reset.run import ResetRun
from vla_rl_nodes.episodes.reset.seen import IDLE, Orders, Seen
from vla_rl_nodes.episodes.reset.settings import SIMULATED, Mode, ResetRequest, mode_named
from vla_rl_nodes.episodes.reset.sources import Sources
from vla_rl_nodes.episodes.reset.stored import StoredState, StoredStates
from vla_rl_nodes.episodes.reset.totals import Totals
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.clocks import instant
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_alive import EpisodeAlive
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.reset_goodbye import say_goodbye
from vla_rl_nodes.nodes.reset_inputs import ResetInputs
from vla_rl_nodes.nodes.reset_outputs import ResetOutputs
from vla_rl_nodes.nodes.reset_parameters import ResetParameters, declare
from vla_rl_nodes.nodes.reset_recordings import RecordedDemonstrations, RecordedStarts
from vla_rl_nodes.nodes.reset_simulator import SimulatorClient
from vla_rl_nodes.nodes.spin import end_after_failed_tick, spin
from vla_rl_nodes.nodes.tick import TickThread
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import load_limits

T = TypeVar("T")

MODES: dict[str, Mode | None] = {
    "normal": None,  # the parameter's
    "demo_replay": Mode.DEMO_REPLAY,
    "return_and_explore": Mode.RETURN_AND_EXPLORE,
    "human_guided": Mode.HUMAN_GUIDED,
}
ANNOUNCED_S = 0.5  # within which an episode's state follows its request
DISCOVERY_S = 3.0  # that a simulator is looked for
RUNNING = (State.READY, State.RUNNING)


class Job:
    """What is under way: a reset or a retreat, and who waits for its end."""

    def __init__(self, retreats: bool, answered: Future) -> None:
        self.retreats, self.answered = retreats, answered
        self.episode_id = ""
        self.of: State | None = None  # in which the episode asked for it; None: nobody did
        self.bound_id: str | None = None  # of that episode
        self.request: ResetRequest | None = None  # of a reset, once it is known
        self.began_s = time.monotonic()
        self.run: ResetRun | RetreatRun | None = None
        self.cancelled = False

    @property
    def waited_s(self) -> float:
        """Since it was asked for, s."""
        return time.monotonic() - self.began_s


class Reset(LeanNode):
    """Plans, checks, moves through the safety filter, verifies, tries again, asks.

    ``reset/request`` answers when the reset is over; ``reset/retreat`` takes the tool back in
    mid-episode. Whoever is asked for help calls ``reset/confirm``.
    """

    def __init__(self) -> None:
        super().__init__("reset")
        self._given = given = declare(self)
        contract = load_contract(given.contract)
        robot = load_robot(contract.robot)
        limits = load_limits(given.limits or contract.name)
        self._complaints = Complaints(self.get_logger())
        self.failed = False
        self._robot, self._mode = robot, given.mode
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "plans")

        def submit(work: Callable[[], T]) -> Pending[T]:
            return self._worker.submit(work)

        self._kit: Kit = make_kit(
            robot, contract, limits, given.script, given.settings, submit,
            self._planners(given, robot),
        )  # fmt: skip
        self._totals = Totals(time.monotonic())
        self._job: Job | None = None
        self._answers: list[Callable[[], None]] = []
        self._inputs = ResetInputs(self, robot, self._complaints, given.settings.silence_s)
        self._episode, self._alive = EpisodeState(self, self._complaints), EpisodeAlive(self)
        self._outputs = ResetOutputs(self, self._kit, self._totals)
        self._simulator = SimulatorClient(self, self._inputs.state_names)
        write: Callable[[Path, bytes], None] = write_durably
        states = Path(given.states).expanduser() if given.states else None
        self._stored = None if states is None else StoredStates(states, write)
        self._over = self.create_guard_condition(self._answer)
        self._offer()
        self._ticks = TickThread(
            contract.period_ns, self._tick, partial(end_after_failed_tick, self), "reset"
        )
        self._ticks.start()
        say_goodbye(self._outputs.give_back)

    def _planners(self, given: ResetParameters, robot: Robot) -> list[Planner]:
        if given.planner == "room":
            return []
        try:
            return [MoveItPlanner(robot, given.moveit_group)]
        except InputError as error:
            if given.planner == "moveit":
                raise
            self.get_logger().info(f"plans by itself: {error.place}: {error.problem}")
            return []

    def _offer(self) -> None:
        # One that waits for the end of a reset must not keep the others waiting.
        waiting = ReentrantCallbackGroup()
        for name, retreats in (("request", False), ("retreat", True)):
            serve = partial(self._serve, retreats)
            self.create_service(Trigger, f"reset/{name}", serve, callback_group=waiting)
        handlers: dict[str, Callable[[], str]] = {
            "cancel": self._cancel, "confirm": self._confirm, "store": self._store,
            **{name: partial(self._choose, mode) for name, mode in MODES.items()},
        }  # fmt: skip
        for name, handler in handlers.items():
            self.create_service(Trigger, f"reset/{name}", partial(_served, handler))

    def close(self) -> None:
        """Ends the ticking, and gives back command."""
        self._ticks.stop()
        self._outputs.give_back()
        self._worker.shutdown(wait=False, cancel_futures=True)

    # --- services

    async def _serve(
        self, retreats: bool, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            response.success, response.message = await self._begin(retreats)
        except InputError as error:
            response.success, response.message = False, " ".join(str(error).split())
        return response

    def _begin(self, retreats: bool) -> Future:
        """What is under way from the next tick on; its end and its words.

        Raises:
            InputError: something else is under way.
        """
        answered: Future = Future()
        with self._lock:
            if self._job is not None:
                what = "retreat" if self._job.retreats else "reset"
                raise InputError("reset", f"a {what} is under way", "wait, or call reset/cancel")
            self._job = Job(retreats, answered)
        return answered

    def _cancel(self) -> str:
        with self._lock:
            if self._job is None:
                raise InputError("cancel", "nothing is under way", "nothing is to be done")
            self._job.cancelled = True
        return "cancelled"

    def _confirm(self) -> str:
        with self._lock:
            run = None if self._job is None else self._job.run
            if not isinstance(run, ResetRun) or not run.confirm():
                raise InputError("confirm", "nobody was asked", "confirm while reset asks")
        return "checked again"

    def _choose(self, mode: Mode | None) -> str:
        self._mode = self._given.mode if mode is None else mode
        return f"the next resets: {self._mode.value}"

    def _store(self) -> str:
        if self._stored is None:
            raise InputError("store", "no file is named", "give the parameter states")
        seen = self._inputs.seen()
        if seen.joints is None or seen.speed >= self._kit.settings.rest_speed:
            why = "the joint states are silent" if seen.joints is None else "the arm moves"
            raise InputError("store", why, "call it when the arm rests")
        known = self._stored.load()
        name = str(self.get_parameter("store_as").value) or f"state_{len(known) + 1}"
        joints = dict(zip(self._robot.joints, seen.joints.tolist(), strict=True))
        stamp = int(self.get_clock().now().nanoseconds)
        state = StoredState(
            robot=self._robot.name, joints=joints, gripper_width=seen.width, stamp_ns=stamp
        )
        self._stored.add(name, state)
        return f"stored {name}"

    # --- the tick

    def _tick(self, lateness_ns: int) -> None:
        with self._lock:
            job = self._job
            # Nothing that comes hundreds of times a second is looked at while nothing is done.
            orders = IDLE if job is None else self._advanced(job, self._inputs.seen())
            self._outputs.send(orders)
            self._outputs.say(job, time.monotonic())
            run = None if job is None else job.run
            if job is not None and run is not None and run.over:
                self._end(job, run.done, _words(run))

    def _end(self, job: Job, done: bool, words: str) -> None:
        self._job = None
        self._answers.append(partial(job.answered.set_result, (done, words)))
        self._over.trigger()

    def _advanced(self, job: Job, seen: Seen) -> Orders:
        try:
            if job.run is None:
                job.run = self._started(job)
            if job.run is None:
                return IDLE
            if self._orphaned(job):
                self.get_logger().warning("the episode that asked for it is over: cancelled")
                job.cancelled = True
            if job.cancelled:
                job.run.cancel()
            return job.run.tick(seen)
        except InputError as error:
            words = " ".join(str(error).split())
        except Exception as error:  # whatever it is, the arm is given back
            words = " ".join(f"failed in its own code: {type(error).__name__}: {error}".split())
            self._complaints.say(f"reset: {words}")
        if job.run is None:
            self._end(job, False, words)
        else:
            job.run.give_up(words)
        return IDLE

    def _orphaned(self, job: Job) -> bool:
        """Whether an episode asked for it that is over by now, or whose node is dead."""
        episode = self._episode
        if job.of is None or job.cancelled:
            return False
        if job.bound_id is None:
            # Not where the state was seen: the id may have been the one before.
            job.bound_id = job.episode_id = episode.episode_id
        dead = self._alive.silent(instant(self))
        return dead or episode.state is not job.of or episode.episode_id != job.bound_id

    def _started(self, job: Job) -> ResetRun | RetreatRun | None:
        """What the job does; None while something that it needs to know may still come.

        Raises:
            InputError: it cannot be done now.
        """
        episode, waits = self._episode, not job.cancelled
        job.episode_id = episode.episode_id
        if job.retreats:
            if self._kit.plans:
                raise InputError("retreat", self._kit.plans, "ask a person")
            job.of = State.RUNNING if episode.state is State.RUNNING else None
            return RetreatRun(self._kit)
        # The request of an episode's node may come before the word that the episode has begun.
        if episode.state is not State.RESETTING and waits and job.waited_s < ANNOUNCED_S:
            return None
        if episode.state in RUNNING:
            raise InputError("reset", f"an episode is {episode.state.value}", "end it first")
        job.of = State.RESETTING if episode.state is State.RESETTING else None
        job.request = request = self._request()
        present = self._simulator.present
        if request.mode in SIMULATED and not present and waits and job.waited_s < DISCOVERY_S:
            return None
        log = self.get_logger().warning
        return ResetRun(
            self._kit, self._sources(present), request, self._totals, lambda line: log(line)
        )

    def _request(self) -> ResetRequest:
        named = self._episode.values.get("reset_mode", "")
        seed = self._episode.seed
        if seed < 0:
            seed = int(self.get_parameter("seed").value) + self._totals.resets
        mode = mode_named(named) if named else self._mode
        return ResetRequest(mode, seed, self._episode.episode_id)

    def _sources(self, simulated: bool) -> Sources:
        given = self._given
        return Sources(
            simulator=self._simulator if simulated else None,
            recordings=RecordedStarts(given.recorded, self._kit.contract),
            demonstrations=RecordedDemonstrations(
                given.demonstrations, self._robot, self._kit.period_s, self._complaints.say
            ),
            stored=self._stored,
            return_to=str(self.get_parameter("return_to").value),
            demo_share=given.demo_share,
        )

    def _answer(self) -> None:
        """In the executor's thread: tells those that wait."""
        with self._lock:
            answers, self._answers = self._answers, []
        for answer in answers:
            answer()


def _served(
    handler: Callable[[], str], request: Trigger.Request, response: Trigger.Response
) -> Trigger.Response:
    try:
        response.success, response.message = True, handler()
    except InputError as error:
        response.success, response.message = False, " ".join(str(error).split())
    return response


def _words(run: ResetRun | RetreatRun) -> str:
    if isinstance(run, ResetRun):
        return run.answer
    return run.reason or "the tool is back"


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Reset, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
