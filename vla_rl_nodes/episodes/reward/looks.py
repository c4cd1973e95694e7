"""What has arrived of the observation streams, and what of it a judge is shown at a tick."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vla_rl_nodes.contract.observation import sample
from vla_rl_nodes.contract.spec import Contract, Stream
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.buffer import Sample, StampedBuffer


class Looks:
    """Buffers of the streams that judges see; the contract's alignment rule chooses from them.

    Args:
        contract: of the streams.
        keys: of those that are kept.

    Raises:
        InputError: the contract has no such stream.
    """

    def __init__(self, contract: Contract, keys: Iterable[str]) -> None:
        known = {stream.key: stream for stream in contract.streams}
        wanted = list(dict.fromkeys(keys))
        unknown = next((key for key in wanted if key not in known), None)
        if unknown is not None:
            raise InputError(
                unknown, "is no stream of the contract", f"give one of {', '.join(known)}"
            )
        self.streams: dict[str, Stream] = {key: known[key] for key in known if key in wanted}
        self._buffers = {key: StampedBuffer(s.topic) for key, s in self.streams.items()}

    def add(self, key: str, message: Any, stamp_ns: int, now_ns: int) -> None:
        """Stores one message of a stream.

        Raises:
            InputError: it breaks the contract, or its stamp is stale, repeated or in the future.
        """
        value = sample(self.streams[key], message)
        self._buffers[key].add(Sample(stamp_ns, value), now_ns)

    def choose(
        self, keys: Iterable[str], at_ns: int, not_before_ns: int
    ) -> dict[str, Sample] | str:
        """The newest sample of each stream at or before a time, or the key of one without.

        Args:
            keys: of the streams.
            at_ns: the time; nothing captured later is used.
            not_before_ns: nothing captured before it is used, nor what is older than its stream
                allows.
        """
        chosen: dict[str, Sample] = {}
        for key in keys:
            stream = self.streams[key]
            newest = self._buffers[key].newest(at_ns, stream.max_age_ns)
            if newest is None or newest.stamp_ns < not_before_ns:
                return key
            chosen[key] = newest
        return chosen

    def newer(self, chosen: dict[str, Sample], last: dict[str, int]) -> bool:
        """Whether every camera has a newer image than in ``last``, key to stamp.

        A judge that saw one picture twice would count it twice. Without a camera, any newer
        sample will do.
        """
        images = [key for key in chosen if self.streams[key].kind == "image"]
        new = [key for key in chosen if chosen[key].stamp_ns > last.get(key, -1)]
        return all(key in new for key in images) if images else bool(new)
