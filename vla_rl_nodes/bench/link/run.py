"""Robots record and send while both sides and the link between them are killed and cut."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vla_rl_nodes.bags.manifest import MANIFEST
from vla_rl_nodes.bench.link.bags import write_episode
from vla_rl_nodes.bench.link.check import Sent, deleted_too_early, judge, rows
from vla_rl_nodes.bench.link.plan import COUNTED, Event, Kind, plan
from vla_rl_nodes.bench.link.proxy import Proxy
from vla_rl_nodes.bench.link.site import Site
from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.ledger import Ledger, State
from vla_rl_nodes.link.robot_settings import load_robot_settings

CONTRACT = "franka_pick"
_MEAN_BYTES = 1_500_000
_KEPT_BYTES = 4_000_000  # of stored episodes on each robot, so that most are deleted meanwhile
_ROBOT = {
    "upload": {
        "part_bytes": 1 << 17, "scan_s": 0.1, "patience_s": 2.0, "retry_s": 0.5,
        "refused_retry_s": 2.0,
    },
    "disk": {"keep_bytes": _KEPT_BYTES},
}  # fmt: skip
_EVENT_S = 1.2  # that an event takes, roughly
_MOVING_S = 0.04  # before a kill, to see whether something is being sent
_FINISH_S = 300.0

Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class LinkOptions:
    """What to run.

    Attributes:
        seed: of the plan, of the sizes and of the noise in the bags.
        robots: how many.
        episodes: that each of them records.
        kills: kills and cuts altogether.
        work_folder: keeps everything of the run; None for a temporary folder.
    """

    seed: int
    robots: int
    episodes: int
    kills: int
    work_folder: Path | None = None


class _Run:
    def __init__(self, options: LinkOptions, site: Site) -> None:
        self.options, self.site = options, site
        self.sent = Sent()
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._bags = dict(zip(site.names, site.bags, strict=True))
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._recorded = [0] * options.robots
        # So slow that the whole plan does not suffice: what is killed is then often sending.
        needed_s = 1.2 * _EVENT_S * options.kills
        self.link_bytes_per_s = int(options.episodes * _MEAN_BYTES / max(1.0, needed_s))

    def record(self, share: float) -> None:
        """Writes the episodes that are due after a share of the plan, and one that is cut off."""
        for robot, name in enumerate(self.site.names):
            due = round(share * self.options.episodes)
            while self._recorded[robot] < due:
                number = self._recorded[robot]
                seed = (self.options.seed * 100 + robot) * 10_000 + number
                size = int(_MEAN_BYTES * np.random.default_rng(seed).uniform(0.3, 1.7))
                episode = f"{name}-{number:04d}"
                self.sent.closed[name, episode] = write_episode(
                    self._bags[name], episode, name, CONTRACT, size, seed
                )
                self._recorded[robot] += 1
                if number == 0:
                    episode = f"{name}-cut-off"
                    write_episode(self._bags[name], episode, name, CONTRACT, size, seed + 5000)
                    (self._bags[name] / episode / MANIFEST).unlink()
                    self.sent.unclosed.add((name, episode))

    def happen(self, event: Event) -> None:
        """Waits for an event's time and makes it happen."""
        site, proxy = self.site, self.site.proxies[event.robot]
        victim = {
            Kind.KILL_LEARNER: site.learner, Kind.KILL_ROBOT: site.robots[event.robot]
        }.get(event.kind)  # fmt: skip
        if victim is not None and not event.early:
            victim.wait_until_up()
        self._wait(event.wait_s - _MOVING_S)
        watched = site.proxies if victim is site.learner else [proxy]
        before = _moved(watched)
        self._wait(_MOVING_S)
        self.counts[event.kind] += 1
        if event.kind in COUNTED:
            self.counts["while_sending"] += _moved(watched) > before
        if victim is not None:
            victim.kill()
            if victim is site.learner:
                self.faults += deleted_too_early(self.sent, self._bags, site.learner_folder)
            self._wait(event.lasts_s)
            victim.start()
        elif event.kind is Kind.CUT:
            proxy.cut()
        elif event.kind is Kind.STALL:
            proxy.stall(True)
            self._later(event.lasts_s, partial(proxy.stall, False))
        else:
            proxy.throttle(self.link_bytes_per_s // 4)
            self._later(event.lasts_s, partial(proxy.throttle, self.link_bytes_per_s))

    def finish(self) -> None:
        """Leaves everything alone until every robot has every acknowledgement, and ends it.

        Raises:
            InputError: that does not come.
        """
        deadline = time.monotonic() + _FINISH_S
        for proxy in self.site.proxies:
            proxy.stall(False)
            proxy.throttle(0)
        self._due.clear()
        while True:
            wanted = len(self.sent.closed)
            while len(rows(self.site.learner_folder)) < wanted:
                if time.monotonic() > deadline:
                    return  # the verdict names what is missing
                for process in (self.site.learner, *self.site.robots):
                    process.check()
                self._wait(0.2)
            self._wait(0.5)
            for process in self.site.robots:
                process.close()
            waiting = [line for line in map(self._unfinished, range(self.options.robots)) if line]
            if not waiting or time.monotonic() > deadline:
                self.faults += waiting
                self.site.learner.close()
                return
            for process in self.site.robots:
                process.start()
                process.wait_until_up()

    def look_at_robots(self) -> None:
        """What robots still hold must be what they recorded, and what they do not, stored."""
        for robot, name in enumerate(self.site.names):
            with Ledger(load_robot_settings(self.site.settings_of(robot)).ledger) as ledger:
                for (owner, episode), manifest in self.sent.closed.items():
                    entry = ledger.entry(episode) if owner == name else None
                    if owner == name and (
                        entry is None
                        or entry.sha256 != manifest.sha256
                        or entry.state not in (State.STORED, State.DELETED)
                    ):
                        self.faults.append(f"{name}: its ledger has {episode} as {entry}")
                kept = ledger.totals().stored_bytes
            if kept > _KEPT_BYTES:
                self.faults.append(f"{name}: keeps {kept} bytes, more than {_KEPT_BYTES}")
        for name, episode in self.sent.unclosed:
            if not (self._bags[name] / episode / f"{episode}.mcap").exists():
                self.faults.append(f"{name}: {episode}, never closed, is gone")

    def deleted(self) -> int:
        """Bags that are no longer on their robots."""
        return sum(not (self._bags[robot] / name).exists() for robot, name in self.sent.closed)

    def _unfinished(self, robot: int) -> str:
        with Ledger(load_robot_settings(self.site.settings_of(robot)).ledger) as ledger:
            count = ledger.totals().waiting
        return f"{self.site.names[robot]}: waits for {count} acknowledgements" if count else ""

    def _later(self, wait_s: float, call: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + wait_s, call))

    def _wait(self, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while True:
            now = time.monotonic()
            for at, call in [entry for entry in self._due if entry[0] <= now]:
                call()
                self._due.remove((at, call))
            if now >= deadline:
                return
            time.sleep(min(0.01, deadline - now))


def _moved(proxies: Sequence[Proxy]) -> int:
    return sum(proxy.to_learner for proxy in proxies)


def run_link(options: LinkOptions, progress: Progress) -> dict[str, object]:
    """One run.

    Args:
        options: what to run.
        progress: told the kills and cuts so far, and what happens.

    Returns:
        The counts, the faults as lines, and the surroundings.

    Raises:
        InputError: a process ended by itself, or did not start.
    """
    events = plan(options.seed, options.kills, options.robots)
    begun = time.monotonic()
    with ExitStack() as stack:
        if options.work_folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="link_bench_")))
        else:
            folder = options.work_folder
            if folder.exists() and any(folder.iterdir()):
                raise InputError(folder, "is not empty", "give a new folder")
            folder.mkdir(parents=True, exist_ok=True)
        names = [f"robot-{number}" for number in range(options.robots)]
        site = stack.enter_context(Site(folder, names, CONTRACT, _ROBOT))
        run = _Run(options, site)
        for proxy in site.proxies:
            proxy.throttle(run.link_bytes_per_s)
        for process in (site.learner, *site.robots):
            process.start()
        for event in events:
            run.record(min(1.0, (event.number + 2) / (0.7 * len(events))))
            progress(sum(run.counts[kind] for kind in COUNTED), str(event.kind))
            run.happen(event)
        run.record(1.0)
        progress(options.kills, "waiting for the rest")
        run.finish()
        run.look_at_robots()
        verdict = judge(run.sent, site.learner_folder)
        sizes = sum(manifest.size for manifest in run.sent.closed.values())
        up = sum(proxy.to_learner for proxy in site.proxies)
        down = sum(proxy.to_robot for proxy in site.proxies)
        deleted = run.deleted()
    faults = [*run.faults, *verdict.faults]
    kills = {kind.value: run.counts[kind] for kind in Kind}
    return {
        "sent": len(run.sent.closed),
        "stored": verdict.stored,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "partial": verdict.partial,
        "kills": kills[Kind.KILL_LEARNER] + kills[Kind.KILL_ROBOT],
        "cuts": kills[Kind.CUT],
        "events": kills,
        "while_sending": run.counts["while_sending"],
        "deleted_on_robots": deleted,
        "episode_bytes": sizes,
        "wire_bytes": up + down,
        "overhead": round((up + down) / sizes, 4),
        "seconds": round(time.monotonic() - begun, 1),
        "seed": options.seed,
        "robots": options.robots,
        "episodes": options.episodes,
        "faults": faults,
        "passed": not faults,
        "machine": machine(),
    }
