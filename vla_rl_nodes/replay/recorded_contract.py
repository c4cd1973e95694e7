"""Which contract an episode was recorded with, told before anything is made of its messages."""

from __future__ import annotations

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.recording import EPISODE_STATE, Recording


def recorded_contract(reader: EpisodeReader, recording: Recording) -> str:
    """The contract's SHA-256 as the recorder or the episode node says it; empty where neither
    does."""
    found = [reader.metadata.get("contract_sha256", "")]
    found += [
        event.values.get("contract_sha256", "")
        for event in recording.events(EPISODE_STATE)
        if event.values.get("episode_id") == recording.episode_id
    ]
    return next(filter(None, found), "")


def refuse_other_contract(recorded: str, place: str, contract: Contract) -> None:
    """Passes where ``recorded`` is the contract's hash.

    Raises:
        InputError: it is another one, or unknown.
    """
    if recorded != contract.sha256:
        raise InputError(
            place,
            f"was recorded with contract {recorded[:12] or 'unknown'}, not {contract.name}"
            f" {contract.sha256[:12]}",
            "give the contract that is attached to the bag with --contract",
        )
