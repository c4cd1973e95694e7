"""Two proofs on a bag: it rebuilds what the policy saw, and it converts the same way twice."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.convert import convert_episode
from vla_rl_nodes.replay.observe import Match, Rebuilt, Unbuilt, read_samples, rebuild
from vla_rl_nodes.replay.recording import read_recording
from vla_rl_nodes.replay.steps import read_ticks


@dataclass(frozen=True)
class ParityReport:
    """How many ticks of a bag rebuild to the observation whose hash the policy recorded.

    Attributes:
        ticks: control ticks of the episode.
        matched: rebuilt with the same hash.
        differing: rebuilt with another hash.
        unhashed: rebuilt, but the policy recorded no hash.
        unbuilt: could not be rebuilt, by reason.
        rule_differs: of those rebuilt, where the alignment rule alone chooses another sample.
        first_difference_ns: stamp of the first tick with another hash, nanoseconds.
    """

    ticks: int
    matched: int
    differing: int
    unhashed: int
    unbuilt: dict[str, int]
    rule_differs: int
    first_difference_ns: int | None

    @property
    def built_live(self) -> int:
        """Ticks at which the policy had an observation; at the others a stream was silent."""
        return self.ticks - self.unbuilt[Unbuilt.NOT_BUILT_LIVE.value]

    @property
    def holds(self) -> bool:
        """Whether something was compared and nothing differed."""
        return self.matched > 0 and self.differing == 0


def check_parity(bag: Path, contract: Contract) -> ParityReport:
    """Rebuilds every observation of a bag and compares its hash with the live one.

    Raises:
        InputError: the bag is damaged, not closed, or no episode.
    """
    recording = read_recording(EpisodeReader(bag), contract)
    ticks, _ = read_ticks(recording)
    samples = read_samples(recording, contract)
    matches = dict.fromkeys(Match, 0)
    unbuilt = {reason.value: 0 for reason in Unbuilt}
    rule_differs = 0
    first: int | None = None
    for tick in ticks:
        rebuilt = rebuild(contract, samples, tick)
        if not isinstance(rebuilt, Rebuilt):
            unbuilt[rebuilt.value] += 1
            continue
        matches[rebuilt.match] += 1
        rule_differs += rebuilt.rule_differs
        if rebuilt.match is Match.DIFFERS and first is None:
            first = tick.stamp_ns
    return ParityReport(
        ticks=len(ticks),
        matched=matches[Match.EQUAL],
        differing=matches[Match.DIFFERS],
        unhashed=matches[Match.NO_HASH],
        unbuilt=unbuilt,
        rule_differs=rule_differs,
        first_difference_ns=first,
    )


@dataclass(frozen=True)
class RepeatReport:
    """Two conversions of one bag: how many files, and the names of those that differ."""

    files: int
    differing: list[str]


def check_repeat(bag: Path, contract: Contract) -> RepeatReport:
    """Converts a bag twice into temporary folders and compares every file's bytes.

    Raises:
        InputError: see :func:`vla_rl_nodes.replay.convert.convert_episode`.
    """
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first = convert_episode(bag, contract, Path(one))
        second = convert_episode(bag, contract, Path(two))
        names = sorted({p.name for folder in (first, second) for p in folder.iterdir()})
        differing = [name for name in names if _bytes(first / name) != _bytes(second / name)]
    return RepeatReport(len(names), differing)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
