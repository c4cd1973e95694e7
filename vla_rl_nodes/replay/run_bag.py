"""Recorded observations through policy bundles and the safety filter, compared with the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.chunking.strategies.strategy import Strategy
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.run_bag_filter import Filtered, run_filter
from vla_rl_nodes.replay.run_bag_policy import Proposals, own_schedule, propose
from vla_rl_nodes.replay.run_bag_record import Record, read_record
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits

Array = NDArray[np.float64]
ENGINE = "onnxruntime-cpu"  # on every machine, and the same bits every time


@dataclass(frozen=True)
class Subject:
    """A bundle that is replayed: its folder as it was given, its version, its opened strategy."""

    path: str
    version: str
    strategy: Strategy


@dataclass(frozen=True)
class Replayed:
    """One version on one bag.

    ``own_schedule`` says why its chunks were not asked for when the recorded ones were; it is
    empty where they were.
    """

    version: str
    own_schedule: str
    proposals: Proposals
    filtered: Filtered

    def same_question(self, record: Record) -> NDArray[np.bool_]:
        """Ticks [T] at which this very version acted on the same request in the record."""
        acted = np.array([version == self.version for version in record.versions])
        return acted & self.proposals.in_step


@dataclass(frozen=True)
class BagRun:
    """One bag and what every version did with it, in the order of the bundles."""

    record: Record
    versions: tuple[Replayed, ...]


class Runner:
    """Opens one or two bundles once and runs bags through them.

    Args:
        setup: contract, chunking and trusted keys; the engine is the processor's.
        bundles: folders, of different versions.
        safety: name or path of the limits; empty for the contract's.

    Raises:
        InputError: a bundle, the contract, the chunking, the limits or the keys are not good.
    """

    def __init__(self, setup: Setup, bundles: Sequence[Path], safety: str = "") -> None:
        opener = Opener(setup)
        self.contract: Contract = opener.contract
        self.settings = opener.settings
        self.robot: Robot = load_robot(self.contract.robot)
        self.limits: SafetyLimits = load_limits(safety or self.contract.name)
        self.subjects: list[Subject] = []
        for path in bundles:
            bundle = opener.verify(path)
            if any(subject.version == bundle.version for subject in self.subjects):
                raise InputError(
                    path, f"is version {bundle.version} again", "give another bundle"
                )  # fmt: skip
            self.subjects.append(Subject(str(path), bundle.version, opener.open(bundle)))

    def run(self, bag: Path) -> BagRun:
        """One bag.

        Raises:
            InputError: see :func:`~vla_rl_nodes.replay.run_bag_record.read_record` and
                :func:`~vla_rl_nodes.replay.run_bag_filter.run_filter`.
        """
        record = read_record(bag, self.contract, self.robot)
        return BagRun(record, tuple(self._replay(record, subject) for subject in self.subjects))

    def _replay(self, record: Record, subject: Subject) -> Replayed:
        strategy = subject.strategy
        proposals = propose(
            strategy, self.contract, self.settings, record.reported, record.observations,
            record.timing,
        )  # fmt: skip
        filtered = run_filter(record, proposals.actions, self.contract, self.robot, self.limits)
        why = own_schedule(record.timing, strategy, self.settings)
        return Replayed(subject.version, why, proposals, filtered)
