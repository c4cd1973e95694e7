"""One trial's verdict, from what was recorded on the topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vla_rl_nodes.bench.safety_kill.bounds import Bounds, Fault
from vla_rl_nodes.bench.safety_kill.record import Array, Said, Stamps, Trace
from vla_rl_nodes.bench.safety_kill.victims import INTERVENTION
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.machine import OUTCOMES
from vla_rl_nodes.safety.limits import SafetyLimits

AT_REST = 0.02  # rad/s, every joint
RESTS_NS = 200_000_000  # as long as that
GAP_NS = 50_000_000  # between two joint states, beyond which the arm counts as not measured
DRIFT = 1e-3  # rad, of the measured joints after the arm has come to rest
SAME = 1e-9  # rad, between two commands for one position
# The simulated arm takes a command and gives a joint state in ticks of 4 ms each.
OBSERVED_S = 0.008
# A command decided in a tick begins two periods later, and ticks lie on a grid.
PERIODS = 3
ACTIVE = ("armed", "holding", "stopping")


class Times(NamedTuple):
    """One trial's moments, ns on the clock that stamps messages: the episode's start was asked
    for; the kill; the victim was up again; the end of the record."""

    asked: int
    killed: int
    restarted: int
    end: int


@dataclass(frozen=True)
class Verdict:
    """What became of one trial.

    Attributes:
        rest_s: from the kill to the arm's rest; None when it did not come to rest.
        bound_s: what it may take.
        parts: what that is made of, s.
        speed: largest joint speed at the kill, rad/s.
        room: smallest distance to the table, m.
        cause: what named the cause, in the graph's words.
        faults: everything that was wrong.
    """

    rest_s: float | None
    bound_s: float
    parts: dict[str, float]
    speed: float
    room: float
    cause: str
    faults: list[Fault]


class Judge:
    """Judges trials of one robot under one contract.

    Args:
        contract: rates and ages of observations.
        limits: timeouts.
        bounds: of the motion.
        settling_s: how long the servos move on after their command's rest.
    """

    def __init__(
        self, contract: Contract, limits: SafetyLimits, bounds: Bounds, settling_s: float
    ) -> None:
        self._contract, self._limits, self._bounds = contract, limits, bounds
        self._settling_s = settling_s
        self._period_s = 1.0 / contract.rates.filter_hz
        self._images = {s.key: s.max_age_s for s in contract.streams if s.kind == "image"}
        self._state_age_s = max(
            s.max_age_s for s in contract.streams if s.topic == "observation/state"
        )

    def judge(self, victim: str, trace: Trace, times: Times) -> Verdict:
        """The verdict.

        Args:
            victim: who was killed.
            trace: recorded since before the episode's start, without a gap.
            times: of the trial.
        """
        faults = self._bounds.commanded(trace) + self._bounds.measured(trace)
        room = self._bounds.room(trace)
        if room <= 0.0:
            faults.append(Fault("table", f"the arm is {1e3 * -room:.2f} mm deep in it"))
        after = (trace.joints_ns >= times.killed) & (trace.joints_ns <= times.end)
        stamps = trace.joints_ns[after]
        speeds = np.abs(trace.v[after]).max(axis=1, initial=0.0)
        faults += _gaps(np.concatenate([[times.killed], stamps, [times.end]]))
        parts = self._parts(victim, trace, times)
        bound_s = sum(parts.values())
        rest_ns, still_ns = _rest(stamps, speeds, times.killed, round(bound_s * 1e9))
        if rest_ns is None:
            faults.append(Fault("rest", "the arm did not come to rest"))
        else:
            late_s = (rest_ns - times.killed) / 1e9 - bound_s
            if late_s > 0.0:
                faults.append(Fault("rest", f"{1e3 * late_s:.0f} ms after its bound"))
            faults += _moves_after(trace, still_ns, times)
        cause, named = self._cause(victim, trace, times)
        if not named:
            faults.append(Fault("cause", f"not named: {cause}"))
        faults += self._armed_by_itself(trace, times, bound_s)
        return Verdict(
            rest_s=None if rest_ns is None else (rest_ns - times.killed) / 1e9,
            bound_s=bound_s,
            parts=parts,
            speed=_speed_at(trace, times.killed),
            room=room,
            cause=cause,
            faults=faults,
        )

    def _parts(self, victim: str, trace: Trace, times: Times) -> dict[str, float]:
        """The stop bound's parts, s."""
        common = {"settling": self._settling_s, "observation": OBSERVED_S}
        if victim == "safety_filter":
            # Nobody commands any more: the last message leads to its own end.
            ends = [int(c.knots.times_ns[-1]) for c in trace.commands if c.publish_ns < times.end]
            left = max((ends[-1] - times.killed) / 1e9, 0.0) if ends else 0.0
            return {"tail": left, "period": self._period_s, **common}
        tails = [
            (c.knots.times_ns[-1] - c.knots.times_ns[0]) / 1e9
            for c in trace.commands
            if times.killed <= c.publish_ns <= times.end
        ]
        patience = self._limits.stop_after_s
        if victim == "proprio_ingest":
            patience += self._state_age_s  # so long the policy acts on what it has
        elif victim == "camera_ingest":
            patience += max(self._images.values())
        return {
            "timeout": patience,
            "periods": PERIODS * self._period_s,
            "longest stop": max(tails, default=0.0),
            **common,
        }

    def _cause(self, victim: str, trace: Trace, times: Times) -> tuple[str, bool]:
        """What the graph says is the cause, and whether that names the victim's death."""
        ended = [s for s in trace.episode if s.message in [o.value for o in OUTCOMES]]
        ended = [s for s in ended if s.publish_ns >= times.killed]
        reason = ended[0].values.get("reason", "") if ended else "the episode did not end"
        stale = [
            s for s in trace.filter
            if times.killed <= s.publish_ns <= times.end
            and "stale_command" in s.values.get("reasons", "").split(",")
        ]  # fmt: skip
        if victim == "safety_filter":
            return reason, "the safety filter was silent" in reason
        if victim == "policy":
            # Either ends the episode, whichever is noticed first.
            named = "the policy was silent" in reason or "stale_command" in reason
            return reason, named and bool(stale)
        named = "safety filter" in reason and "stale_command" in reason
        if victim == INTERVENTION:
            whose = {s.values.get("source", "") for s in stale} - {""}
            return f"{reason}; in command: {','.join(sorted(whose))}", named and whose == {victim}
        blind = {s.values["blind"] for s in _since(trace.policy, times) if "blind" in s.values}
        expected = {"state"} if victim == "proprio_ingest" else set(self._images)
        return f"{reason}; blind: {','.join(sorted(blind))}", named and bool(blind & expected)

    def _armed_by_itself(self, trace: Trace, times: Times, bound_s: float) -> list[Fault]:
        """Whether the filter was active before the start, or after the stop: it says so itself,
        and it sends messages only while it is."""
        found = []
        early = [s for s in trace.filter if s.publish_ns < times.asked and s.message in ACTIVE]
        sent = [c for c in trace.commands if c.publish_ns < times.asked]
        if early or sent:
            found.append(Fault("armed", "before an episode was started"))
        from_ns = times.killed + round(bound_s * 1e9) + RESTS_NS
        late = [s for s in trace.filter if s.publish_ns > from_ns and s.message in ACTIVE]
        if late:
            found.append(Fault("armed", f"still or again {late[-1].message} after the stop"))
        if not any(s.publish_ns > times.restarted for s in trace.filter):
            found.append(Fault("armed", "the filter says nothing after the restart"))
        return found


def _since(said: list[Said], times: Times) -> list[Said]:
    return [s for s in said if times.killed <= s.publish_ns <= times.end]


def _rest(stamps: Stamps, speeds: Array, killed_ns: int, bound_ns: int) -> tuple[int | None, int]:
    """When the arm came to rest for good, the kill's time when it already was; and from when on
    nothing may move any more.

    It may rest first and move again, where whoever commands goes on to the end of its patience:
    until the bound, and until it has rested for ``RESTS_NS``.
    """
    since: int | None = killed_ns
    still_ns = killed_ns + bound_ns
    for stamp, speed in zip(stamps.tolist(), speeds.tolist(), strict=True):
        if since is not None and stamp >= max(since + RESTS_NS, still_ns):
            return since, stamp
        if speed >= AT_REST:
            since = None
        elif since is None:
            since = stamp
    return None, still_ns


def _gaps(stamps: Stamps) -> list[Fault]:
    gaps = np.diff(stamps)
    worst = int(gaps.argmax())
    if gaps[worst] <= GAP_NS:
        return []
    since = (stamps[worst] - stamps[0]) / 1e9
    text = f"no joint state for {gaps[worst] / 1e6:.0f} ms, {since:.2f} s after the kill"
    return [Fault("unmeasured", text)]


def _moves_after(trace: Trace, from_ns: int, times: Times) -> list[Fault]:
    """Motion after the rest, commanded or measured."""
    found = []
    before = [c for c in trace.commands if c.publish_ns <= from_ns]
    later = [c for c in trace.commands if c.publish_ns > from_ns]
    for command in later:
        still = before[-1].knots.q[-1] if before else command.knots.q[0]
        away = float(np.abs(command.knots.q - still).max())
        if away > SAME or command.knots.v.any():
            found.append(
                Fault(
                    "moved",
                    f"a command, {_after(command.publish_ns, times)}, leads {away:.3g} rad away",
                )
            )
            break
    inside = (trace.joints_ns >= from_ns) & (trace.joints_ns <= times.end)
    q, v = trace.q[inside], np.abs(trace.v[inside])
    if not len(q):
        return [*found, Fault("unmeasured", "no joint state after the rest")]
    if v.max() >= AT_REST:
        found.append(Fault("moved", f"a joint moves at {v.max():.3f} rad/s after the stop"))
    drift = float(np.abs(q - q[0]).max())
    if drift > DRIFT:
        found.append(Fault("moved", f"a joint drifts by {drift:.4f} rad after the stop"))
    return found


def _after(at_ns: int, times: Times) -> str:
    return f"{(at_ns - times.killed) / 1e9:.3f} s after the kill"


def _speed_at(trace: Trace, at_ns: int) -> float:
    index = int(np.searchsorted(trace.joints_ns, at_ns)) - 1
    return float(np.abs(trace.v[index]).max()) if index >= 0 else 0.0
