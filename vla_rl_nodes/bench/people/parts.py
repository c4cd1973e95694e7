"""The parts of the bench: each runs one measurement, and says which promises were kept."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from vla_rl_nodes.bench.people.contract_file import with_time_limit
from vla_rl_nodes.bench.people.deeds import helps, read_log
from vla_rl_nodes.bench.people.half_policy import HalfPolicy, Tell, try_alone
from vla_rl_nodes.bench.people.help_figures import (
    Judged,
    alone_figures,
    help_bars,
    help_figures,
)
from vla_rl_nodes.bench.people.help_judge import judge
from vla_rl_nodes.bench.people.help_record import read_evidence
from vla_rl_nodes.bench.people.help_run import Attempt, HelpPlan, kept, run_with_help
from vla_rl_nodes.bench.people.trouble_judge import TroubleVerdict, judge_trouble
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.person_trouble import TROUBLES

CONTRACT = "franka_pick"
UNATTENDED_EPISODES = 300


class Part(NamedTuple):
    """A part's figures by name, and which of its promises were kept."""

    figures: dict[str, Any]
    bars: dict[str, bool]


@dataclass(frozen=True)
class Setting:
    """What the parts with a person share.

    Attributes:
        policy: the half-trained one.
        seed: of the first episode and of the person.
        time_limit_s: of an episode.
        repeats: of an episode that the machine spoilt.
        out: folder of everything that is recorded.
    """

    policy: HalfPolicy
    seed: int
    time_limit_s: float
    repeats: int
    out: Path

    @property
    def contract(self) -> Path:
        """The contract's file, written when it is asked for."""
        return with_time_limit(CONTRACT, self.time_limit_s, self.out / "contract")

    def plan(self, episodes: int) -> HelpPlan:
        """Episodes with the seeds from ``seed`` on."""
        return HelpPlan(
            contract=self.contract, bundle=self.policy.bundle, keys=self.policy.keys,
            seed=self.seed, seeds=tuple(range(self.seed, self.seed + episodes)),
            out=self.out / "help", repeats=self.repeats,
        )  # fmt: skip


def help_part(setting: Setting, episodes: int, tell: Tell) -> Part:
    """Episodes with a person, run in the graph and judged from their bags.

    Raises:
        InputError: see help_run.run_with_help.
    """
    plan = setting.plan(episodes)
    attempts = _run(plan, "with help", episodes, tell)
    contract, log = load_contract(plan.contract), read_log(plan.log)
    judged, unread = [], []
    counted = [attempt for attempt in kept(attempts) if not attempt.spoilt]
    for number, attempt in enumerate(counted):
        tell("judging", number / len(counted))
        result = attempt.result
        try:
            if result.bag is None:
                raise InputError(
                    result.episode_id, f"has no bag ({result.reason})", "run it again"
                )
            evidence = read_evidence(result.bag, contract)
        except InputError as error:
            unread.append(str(error))  # such as one that was over before its first step
            continue
        done = helps(log.get(evidence.episode_id, []))
        judged.append(Judged(evidence, tuple(done), judge(evidence, done)))
    tell("judging", 1.0)
    figures = help_figures(attempts, judged)
    bars = {**help_bars(figures), "every_bag_read": not unread}
    return Part({**figures, "bags_not_read": unread}, bars)


def alone_part(setting: Setting, episodes: int, tell: Tell) -> Part:
    """The same policy from the same starts without anybody, in simulated time."""
    seeds = range(setting.seed, setting.seed + episodes)
    figures = alone_figures(try_alone(setting.policy, setting.contract, seeds, tell))
    return Part(figures, {})


def troubles_part(setting: Setting, episodes: int, tell: Tell) -> Part:
    """Episodes in which the device gets into each kind of trouble in the middle of help.

    Args:
        setting: of all of them.
        episodes: of each kind; in those in which the policy needs no help there is no trouble.
        tell: told how far it is.
    """
    verdicts: list[TroubleVerdict] = []
    quiet: Counter[str] = Counter()
    contract = load_contract(setting.contract)
    for kind in TROUBLES:
        out = setting.out / f"trouble_{kind}"
        plan = replace(setting.plan(episodes), out=out, trouble=kind)
        attempts = _run(plan, f"trouble: {kind}", episodes, tell)
        log = read_log(plan.log)
        for attempt in attempts:
            if attempt.spoilt or attempt.result.bag is None:
                continue
            lines = log.get(attempt.result.episode_id, [])
            verdict = judge_trouble(attempt.result.bag, contract, lines)
            if verdict is None:
                quiet[kind] += 1
            else:
                verdicts.append(verdict)
    faults = [f"{v.kind}: {fault}" for v in verdicts for fault in v.faults]
    seen = {verdict.kind for verdict in verdicts}
    return Part(
        {
            "troubles": [verdict.figures() for verdict in verdicts],
            "troubles_without_help": dict(quiet),
            "trouble_faults": faults,
        },
        {"troubles": not faults, "every_trouble_seen": seen == set(TROUBLES)},
    )


def resets_part(seed: int, tell: Tell) -> Part:
    """Resets from 200 bad starts; see bench.people.resets."""
    from vla_rl_nodes.bench.people.reset_starts import KINDS
    from vla_rl_nodes.bench.people.resets import run_resets

    starts = sum(kind.starts for kind in KINDS.values())
    result = run_resets(seed, progress=lambda so_far: tell("resets", so_far.starts / starts))
    bars = {
        "resets_by_the_filter": result.bypasses == 0 and result.leaps == 0,
        "escalation_says_why": result.asked_without_reason == 0,
    }
    return Part({"reset_success": result.success, "resets": asdict(result)}, bars)


def unattended_part(seed: int, tell: Tell) -> Part:
    """Episodes without a person; see bench.people.unattended."""
    from vla_rl_nodes.bench.people.unattended import run_unattended

    count = UNATTENDED_EPISODES
    result = run_unattended(
        count, seed, progress=lambda so_far: tell("unattended", so_far.episodes / count)
    )
    figures = {"unattended_episodes": result.unattended, "unattended": asdict(result)}
    return Part(figures, {"unattended": result.unattended >= count})


def retries_part(seed: int, tell: Tell) -> Part:
    """Retries where strategies fail; see bench.people.retries."""
    from vla_rl_nodes.bench.people.retries import EPISODES, run_retries
    from vla_rl_nodes.bench.people.retries_figures import retries_bars

    figures = run_retries(
        EPISODES, seed, shown=lambda what, done, count: tell(f"retries: {what}", done / count)
    )
    return Part({"retries": figures}, retries_bars(figures))


def classifier_part(seed: int, tell: Tell) -> Part:
    """A success classifier from 60 labelled episodes; see bench.people.classifier."""
    from vla_rl_nodes.bench.people.classifier import run

    with tempfile.TemporaryDirectory(prefix="vla_rl_classifier_") as folder:
        figures = run(
            seed, Path(folder),
            shown=lambda what, done, count: tell(f"classifier: {what}", done / count),
        )  # fmt: skip
    return Part({"classifier": figures}, {})


def _run(plan: HelpPlan, what: str, episodes: int, tell: Tell) -> Sequence[Attempt]:
    done: set[int] = set()
    tell(what, 0.0)

    def progress(attempt: Attempt) -> None:
        done.add(attempt.result.seed)
        # The last one of a seed is not known before the next begins.
        tell(what, (len(done) - bool(attempt.spoilt)) / episodes)

    attempts = run_with_help(plan, progress)
    tell(what, 1.0)
    return attempts
