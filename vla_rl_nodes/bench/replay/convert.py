"""From a closed bag to transitions that are committed, against the time to only read the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from vla_rl_nodes.bench.replay.bags import wide_contract, write_episode_bag
from vla_rl_nodes.bench.replay.read import megabytes_a_second, read_only
from vla_rl_nodes.replay.check import check_parity
from vla_rl_nodes.replay.convert import build_episode, convert_episode
from vla_rl_nodes.replay.store.store import EpisodeStore


def measure_converting(
    seed: int, megabytes: int, folder: Path, rounds: int, progress: Callable[[], None]
) -> dict[str, float]:
    """Millions of bytes of the bag's file a second, the median of interleaved rounds.

    The bag is an episode as the recorder closes it, packed with zstd. Converting checks its CRCs
    and SHA-256, rebuilds every observation and compares its hash, and hashes every array.

    Args:
        seed: of the bag's content.
        megabytes: its size before compression.
        folder: for the bag and what is made of it; all is removed afterwards.
        rounds: how often each way runs.
        progress: called after each round.

    Returns:
        ``to_folder``, a replay folder; ``to_store``, an episode that is durable in an
        ``EpisodeStore``; ``read_only``, the file read and nothing looked at; ``share`` of
        ``to_store`` in that; and ``parity``, 1 where all observations have the policy's hash.
    """
    contract = wide_contract()
    bag, out = folder / "episode", folder / "made"
    write_episode_bag(bag, seed, megabytes, contract)
    recording = next(bag.glob("*.mcap"))

    def emptied() -> Path:
        shutil.rmtree(out, ignore_errors=True)
        return out

    def to_store(_: Path) -> None:
        with EpisodeStore(emptied(), writable=True) as store:
            store.append(build_episode(bag, contract))

    rates = megabytes_a_second(
        recording,
        {
            "to_folder": lambda _: convert_episode(bag, contract, emptied()),
            "to_store": to_store,
            "read_only": read_only,
        },
        rounds,
        progress,
    )
    holds = check_parity(bag, contract).holds
    for made in (bag, out):
        shutil.rmtree(made, ignore_errors=True)
    return {**rates, "share": rates["to_store"] / rates["read_only"], "parity": float(holds)}
