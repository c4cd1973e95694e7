"""policy: runs a policy bundle with real-time chunking, one action at every control tick."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from vla_rl_nodes.chunking.following import POLICY
from vla_rl_nodes.chunking.live import LivePolicy
from vla_rl_nodes.chunking.loader import BundleLoader
from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan, Strategy
from vla_rl_nodes.chunking.worker import InferenceWorker
from vla_rl_nodes.episodes.machine import OUTCOMES, State
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import AlignedObservation
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.bundle_parameters import swap_parameters
from vla_rl_nodes.nodes.event import OK, WARN, Event, to_message
from vla_rl_nodes.nodes.filter_status import FilterStatus
from vla_rl_nodes.nodes.qos import LATCHED
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.step_node import Step, StepNode
from vla_rl_nodes.resources import resource

# The executor also stores the observations, which are out of date after a tenth of a second.
VERDICT_PATIENCE_S = 0.05
# Reasons of the filter that say nothing about the commands of whoever is in command.
BLAMELESS = {"stale_state", "future_stamp", "not_armed", "outranked", "paused", "disarmed"}
STOPPED = {"stopping", "stopped", "faulted"}
BAD_NEWS = {"refused", "rolled back", "withdrawn"}


class Policy(StepNode):
    """Acts with a bundle, and takes over another one when its parameter ``bundle`` is set.

    A new bundle is verified at once and refused in the parameter's answer; then it is tried,
    plans in the shadow, takes over at the start of an episode, and is on trial for some more.
    ``policy/bundle`` tells each of these steps.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        bundle = parameters.text(
            self, "bundle", "",
            "Policy bundle folder; empty: the shipped one. When it is set while the node runs,"
            " policy/bundle tells what became of it.",
            read_only=False,
        )  # fmt: skip
        keys = parameters.text(
            self, "trusted_keys", "", "Folder of public keys (*.pub); empty: the shipped one."
        )
        chunking = parameters.text(
            self, "chunking", "prefix", "Chunking strategy: name or path of its settings."
        )
        engine = parameters.text(
            self, "engine", "auto", "Inference engine; auto: the fastest that is there."
        )
        seed = parameters.integer(
            self, "noise_seed", 0, 0, 2**31 - 1, "Seed of the policy's sampling noise."
        )
        self._added_latency_s = parameters.number(
            self, "added_latency_s", 0.0, 0.0, 2.0,
            "For measurements: what every inference waits in addition, in seconds.",
        )  # fmt: skip
        swap_settings, processor_s = swap_parameters(self)
        setup = Setup(self.contract_name, chunking, engine, keys)
        opener = Opener(setup, self.get_logger().info)
        first = opener.verify(self._path(bundle))
        self._live = LivePolicy(
            self.contract, opener.settings, first.version, opener.open(first),
            self._worker, swap_settings, seed,
        )  # fmt: skip
        self._loader = BundleLoader(opener, self._live, processor_s)
        self._version = first.version
        self._oldest_asked_ns = 0
        self._age_ms = ""
        self._news = self.create_publisher(DiagnosticArray, "policy/bundle", LATCHED)
        self._filter = FilterStatus(self, self.complaints, self._hear_filter)
        self.create_timer(0.1, self._tell_news)
        self._tell_news()
        self.add_on_set_parameters_callback(self._set)
        self.start()

    @property
    def version(self) -> str:
        """Version of the bundle whose action the last tick gave."""
        return self._version

    def close(self) -> None:
        """Stops the tick, then the inference."""
        super().close()
        self._live.close()

    def start_episode(self, episode_id: str) -> None:
        """Empties the queue; a chunk still being computed is dropped when it arrives."""
        self._live.start_episode()
        self._version = self._live.version

    def episode_changed(self, state: State, event: Event) -> None:
        """Counts finished episodes for a policy on trial."""
        if state in OUTCOMES:
            self._live.end_episode(state is not State.ABORTED)

    def step(self, stamp: int, seen: AlignedObservation) -> Step:
        """Splices what has arrived, asks for the next chunk, takes the next action."""
        acted = self._live.tick(stamp, seen.observation, self._filter.following)
        for line in acted.problems:
            self.complaints.say(f"policy: {line}", kind=line.partition(":")[0])
        if acted.answered is not None:
            self._age_ms = f"{(stamp - self._oldest_asked_ns) / 1e6:.3f}"
        if acted.asked is not None:
            # Only one chunk is asked for at a time, so the next to arrive is this one.
            self._oldest_asked_ns = min(seen.stamps_ns.values())
        values = dict(acted.values)
        if "chunk_version" in values:
            self._version = values["chunk_version"]
            values["observation_age_ms"] = self._age_ms
        return Step(
            acted.action,
            chunk=acted.chunk,
            chunk_stamp_ns=acted.chunk_stamp_ns,
            values=values,
        )

    def _worker(self, strategy: Strategy) -> InferenceWorker[Job, Plan]:
        return InferenceWorker(partial(self._plan, strategy))

    def _plan(self, strategy: Strategy, job: Job) -> Plan:
        if self._added_latency_s > 0.0:
            time.sleep(self._added_latency_s)
        return strategy.plan(job)

    def _path(self, text: str) -> Path:
        if not text:
            return resource(f"config/policies/{self.contract.name}")
        try:
            return Path(text).expanduser()
        except RuntimeError as error:  # ~somebody
            raise InputError(text, "names no user's home", "give the whole path") from error

    def _set(self, changed: list[Parameter]) -> SetParametersResult:
        for parameter in changed:
            if parameter.name != "bundle":
                continue
            try:
                path = self._path(str(parameter.value))
            except InputError as error:
                return SetParametersResult(successful=False, reason=str(error))
            refused = self._loader.ask(path, VERDICT_PATIENCE_S)
            self._tell_news()
            if refused:
                return SetParametersResult(successful=False, reason=refused)
        return SetParametersResult(successful=True)

    def _hear_filter(self, event: Event, reasons: frozenset[str]) -> None:
        # The stamp of a person's command is that of the tick whose command it replaces.
        if not self.running or self._filter.in_command != POLICY:
            return
        if event.values.get("command_stamp"):
            self._live.filtered(event.stamp_ns, not reasons <= BLAMELESS)
        if event.message in STOPPED and not reasons <= BLAMELESS:
            self._live.filter_stopped(event.values.get("reasons", ""))

    def _tell_news(self) -> None:
        for news in self._live.news():
            bad = news.what in BAD_NEWS
            values = {"version": news.version, "reason": news.reason, **news.state}
            now = self.get_clock().now().nanoseconds
            event = Event(
                "bundle", news.what, values, self._live.version, WARN if bad else OK, now
            )
            self._news.publish(to_message(event))
            log = self.get_logger()
            line = f"bundle {news.version or '-'} {news.what}"
            if bad:
                log.warning(f"{line}: {news.reason}")
            else:
                log.info(line)


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(Policy, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
