"""reward: judges the running episode by what the robot sees, and never holds anything up."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, JointState

from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract, load_yaml, named_file
from vla_rl_nodes.contract.spec import Contract, Stream
from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.episodes.reward.judge import Look
from vla_rl_nodes.episodes.reward.make import Trust, make_judges
from vla_rl_nodes.episodes.reward.newest import NewestWorker
from vla_rl_nodes.episodes.reward.panel import STATE_TOPIC, Panel, Told
from vla_rl_nodes.episodes.reward.spec import Rewards
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import OK, WARN, Event, from_message, to_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.sim.scene import load_scene
from vla_rl_nodes.sim.task import LiftPredicate, lift_predicate

TICKS = "policy/status"
REPORT_S = 1.0
PATIENCE_S = 0.5  # for the threads of judges that are at work when the node ends


class Reward(LeanNode):
    """Publishes ``reward``, ``success`` and ``progress`` while an episode runs.

    Judges with a model or a server look at every control tick, that is at each
    ``policy/status``, in threads of their own. A slow one skips ticks, and one that hangs or
    fails gives no verdict: the others go on. Every message has the capture stamp of the newest
    input that was judged.

    ``reward/status`` is an event at each change and once a second: ``idle``, ``judging`` or
    ``held`` (paused, or in a retreat), with what became of each judge's looks. When a judge says
    something in words, another one comes, ``critique``, with that verdict's stamp and source and
    the words as they are.
    """

    def __init__(self) -> None:
        super().__init__("reward")
        self._contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        rewards = parameters.text(
            self, "rewards", "",
            "What judges: name or path of its file; empty: the contract's, where there is one.",
        )  # fmt: skip
        keys = parameters.text(
            self, "trusted_keys", "", "Folder of public keys (*.pub); empty: the shipped one."
        )
        unsigned = parameters.flag(
            self, "allow_unsigned", False, "Take models without a signature, on a bench."
        )
        self._complaints = Complaints(self.get_logger())
        self._outputs = {
            topic: self.create_publisher(JointState, topic, STREAM)
            for topic in ("reward", "success", "progress")
        }
        self._status = self.create_publisher(DiagnosticArray, "reward/status", STREAM)
        self._workers: dict[str, NewestWorker[Look, Verdict]] = {}
        self._reported: dict[str, int] = {}
        self._name = ""
        path = _rewards_file(rewards, self._contract)
        if path is None:
            self.get_logger().info(
                f"contract {self._contract.name} has no file in config/rewards: nothing is judged;"
                " give the parameter rewards"
            )
            self._panel = None
        else:
            self._panel = self._open(path, keys, unsigned)
        self._episode = EpisodeState(self, self._complaints, self._changed)
        self.create_timer(REPORT_S, self._report)
        self._report()

    def _open(self, path: Path, keys: str, unsigned: bool) -> Panel:
        config = load_yaml(path, Rewards)
        self._name = config.name
        trust = Trust(trusted_keys(Path(keys) if keys else None), unsigned)
        judges = make_judges(path, config, self._contract, trust, self._state_rule)
        panel = Panel(config, self._contract, judges, self._complaints.say)
        self._answers = self.create_guard_condition(self._collect)
        for name, judge in judges.items():
            if not judge.inline:
                tell = self._answers.trigger
                self._workers[name] = NewestWorker(judge.judge, tell, f"judge {name}")
            self.get_logger().info(f"{name}: {judge.source}")
        for key, stream in panel.looks.streams.items():
            kind = Image if stream.kind == "image" else JointState
            self.create_subscription(kind, stream.topic, partial(self._hear, key, stream), STREAM)
        if any(judge.sees == "state" for judge in judges.values()):
            self.create_subscription(JointState, STATE_TOPIC, self._hear_state, STREAM)
        self.create_subscription(DiagnosticArray, TICKS, self._tick, STREAM)
        return panel

    def _state_rule(self, scene: str | None) -> LiftPredicate:
        return lift_predicate(load_scene(scene or self._contract.name))

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _changed(self, state: State, event: Event) -> None:
        panel = self._panel
        if panel is None:
            return
        episode_id = event.values.get("episode_id", "")
        if state is State.RUNNING:
            if not panel.running or episode_id != panel.episode_id:
                task = event.values.get("task", self._contract.task)
                panel.begin(episode_id, task, self._episode.ready_ns)
                self._reported.clear()
            panel.held = self._episode.paused or self._episode.retreating
            panel.attempt = self._episode.attempt
        elif state in (State.SUCCESS, State.FAILURE, State.TIMEOUT):
            if episode_id == panel.episode_id:
                self._show(panel.finish(event.stamp_ns))
        else:
            panel.cancel()
        self._say_status()

    def _hear(self, key: str, stream: Stream, message: Any) -> None:
        assert self._panel is not None
        try:
            self._panel.looks.add(key, message, stamp_ns(message), self._now())
        except InputError as error:
            self._complaints.say(error, kind=f"{stream.topic} {error.remedy}")

    def _hear_state(self, message: JointState) -> None:
        assert self._panel is not None
        try:
            if len(message.name) != len(message.position):
                raise InputError(STATE_TOPIC, "has not one value a name", "check its publisher")
            self._tell(
                self._panel.named_state(
                    stamp_ns(message), message.name, message.position, self._now()
                )
            )
        except InputError as error:
            self._complaints.say(error, kind=f"{STATE_TOPIC} {error.remedy}")

    def _tick(self, message: DiagnosticArray) -> None:
        assert self._panel is not None
        event = from_message(message, TICKS, self._complaints)
        if event is None or event.values.get("episode_id") != self._panel.episode_id:
            return
        told, looks = self._panel.tick(event.stamp_ns, self._now())
        self._tell(told)
        self._show(looks)

    def _show(self, looks: dict[str, Look]) -> None:
        for name, look in looks.items():
            self._workers[name].offer(look)

    def _collect(self) -> None:
        """What the judges' threads have answered; they wake the executor for it."""
        assert self._panel is not None
        for name, worker in self._workers.items():
            for answered in worker.collect():
                if answered.answer is None:
                    self._panel.failed(name, answered.error or RuntimeError("no answer"))
                    continue
                look, verdict = answered.job, answered.answer
                told = self._panel.answered(name, look, verdict, self._now())
                try:
                    self._tell(told)
                    if told and verdict.critique is not None:
                        self._quote(name, look.episode_id, verdict)
                except Exception as error:  # what cannot be published is that judge's failure
                    self._panel.failed(name, error)

    def _tell(self, said: list[Told]) -> None:
        for told in said:
            names, values = list(told.values), told.values.values()
            message = vector_message(told.stamp_ns, names, values, told.source)
            self._outputs[told.topic].publish(message)

    def _quote(self, name: str, episode_id: str, verdict: Verdict) -> None:
        code = verdict.critique_code
        values = {
            "rewards": self._name, "episode_id": episode_id, "judge": name,
            "source": verdict.source, "critique": verdict.critique or "",
            "critique_code": "" if code is None else str(code),
        }  # fmt: skip
        event = Event("reward", "critique", values, self._name, OK, verdict.stamp_ns)
        self._status.publish(to_message(event))

    def _report(self) -> None:
        """Once a second: whoever has looked at nothing for so long is told of."""
        silent = []
        panel = self._panel
        if panel is not None and panel.running and not panel.held:
            for name, seat in panel.seats.items():
                looked = seat.verdicts + seat.errors + seat.late
                if seat.film is None and self._reported.get(name) == looked:
                    silent.append(name)
                self._reported[name] = looked
        for name in silent:
            self._complaints.say(
                f"{name}: no verdict for a second; look at its inputs and its model",
                f"silent {name}",
            )
        self._say_status(WARN if silent else OK)

    def _say_status(self, level: bytes = OK) -> None:
        panel, message = self._panel, "idle"
        values = {"rewards": self._name, "episode_id": "" if panel is None else panel.episode_id}
        if panel is not None:
            if panel.running:
                message = "held" if panel.held else "judging"
            for name, seat in panel.seats.items():
                worker = self._workers.get(name)
                values |= {
                    f"{name}.source": seat.judge.source,
                    f"{name}.verdicts": str(seat.verdicts),
                    f"{name}.errors": str(seat.errors),
                    f"{name}.late": str(seat.late),
                    f"{name}.skipped": str(0 if worker is None else worker.skipped),
                    f"{name}.busy_s": f"{0.0 if worker is None else worker.busy_s:.1f}",
                    f"{name}.latency_ms": f"{seat.latency_ms:.1f}",
                }
                if seat.film is not None:
                    values[f"{name}.filmed"] = str(seat.film.seen)
        self._status.publish(
            to_message(Event("reward", message, values, self._name, level, self._now()))
        )

    def close(self) -> None:
        """Ends the judges' threads; one that hangs is left behind."""
        for worker in self._workers.values():
            worker.stop(PATIENCE_S)
        if self._panel is not None:
            for seat in self._panel.seats.values():
                seat.judge.close()


def _rewards_file(given: str, contract: Contract) -> Path | None:
    """The file of the parameter, else the contract's own, else None."""
    if given:
        return named_file("rewards", given)
    try:
        return named_file("rewards", contract.name)
    except InputError:
        return None


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Reward, args)


if __name__ == "__main__":
    sys.exit(main())
