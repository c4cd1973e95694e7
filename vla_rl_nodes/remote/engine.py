"""A served policy as an engine: an observation in, a chunk of the contract's actions out."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.observation import Observation, assemble
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.engine import Candidates
from vla_rl_nodes.remote.actions import ServedActions
from vla_rl_nodes.remote.adapters.base import Sampling
from vla_rl_nodes.remote.adapters.make import make_adapter, make_link
from vla_rl_nodes.remote.observe import ServedObservation
from vla_rl_nodes.remote.spec import OpenPi, RemotePolicy

Floats = NDArray[np.float32]

_CLOSE_S = 0.5
FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 5.0
# What a server may change of a committed action, as a share of the axis' range: rounding.
PREFIX_TOLERANCE = 1e-4


class RemoteEngine(Closable):
    """Asks a server for chunks. For the inference thread: a call waits for the answer.

    A lost connection is opened again by the next call, after a failure not before a growing
    pause; calls within the pause raise what was wrong. Whoever answers then must be the policy
    that answered before.

    Args:
        place: of the policy's file, for the errors.
        policy: what the file says.
        contract: what the chunks are for.
        say: told in one line of every connection.
        clock: monotonic seconds.

    Attributes:
        name: ``remote-<adapter>``.
        contract: as given.
        supports_prefix: whether committed actions, a delay and noise reach the policy.
        rows: leading rows of a chunk that the policy has decided; the rest stands still.
        server_ms: what the server says that the last answer took, or None.

    Raises:
        InputError: the file does not fit the contract or its protocol, or the address is not
            acceptable.
    """

    def __init__(
        self,
        place: object,
        policy: RemotePolicy,
        contract: Contract,
        say: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._policy, self._say, self._clock = place, policy, say, clock
        self.contract = contract
        self.name = f"remote-{policy.protocol.adapter}"
        self._sent = ServedObservation(place, contract, policy.observation)
        self._made = ServedActions(place, contract, policy.action)
        self._adapter = make_adapter(place, policy)
        self._link = make_link(place, policy, self._adapter)
        self._url = policy.server.url
        self.supports_prefix = isinstance(policy.protocol, OpenPi) and policy.protocol.prefix
        if self.supports_prefix and not self._made.native:
            raise InputError(
                f"{place}: protocol.prefix",
                "needs the contract's own axes, units, order, rate and length",
                "map them one to one, or set prefix to false",
            )
        self.rows = self._made.rows
        self.server_ms: float | None = None
        action = contract.action
        self._shape = (action.chunk_length, len(action.names))
        self._minimum = action.minimum.astype(np.float32)
        self._maximum = action.maximum.astype(np.float32)
        self._trial = self._trial_request()
        self._lock = threading.Lock()
        self._open = False
        self._digest: str | None = None
        self._failed: InputError | None = None
        self._pause_s, self._not_before = FIRST_RETRY_S, -np.inf

    @property
    def version(self) -> str:
        """``remote:<name>@<digest>``, the digest over file and server's metadata.

        Until the server was reached for the first time the digest reads ``unconnected``.
        """
        return f"remote:{self._policy.name}@{self._digest or 'unconnected'}"

    def connect(self) -> None:
        """Opens the connection, unless it is, and tries one request.

        The trial shows at the start that the server answers in the shape that the file says,
        and takes the long time that a server compiles for.

        Raises:
            InputError: it cannot be used; another attempt is not made before the pause ends.
        """
        with self._lock:
            self._connect()

    def infer(
        self,
        observation: Mapping[str, NDArray[Any]],
        prefix: Floats,
        delay: int,
        noise: Floats,
    ) -> Floats:
        """One chunk, float32 [H, A], in action units, within the contract's bounds.

        Args:
            observation: stream key to array, as contract.observation.assemble makes it.
            prefix: float32 [H, A]; its first ``delay`` rows are committed.
            delay: committed rows; must be 0 where :attr:`supports_prefix` is false.
            noise: float32 [H, A]; looked at only where :attr:`supports_prefix` is true.

        Raises:
            InputError: an argument cannot be used, the server cannot be reached or gave no
                usable answer in time.
        """
        samples = self._checked(observation, prefix, delay, noise)
        with self._lock:
            self._connect()
            return self._ask(samples, Sampling(prefix, delay, noise))

    def infer_many(
        self,
        observation: Mapping[str, NDArray[Any]],
        prefix: Floats,
        delay: int,
        noise: Floats,
    ) -> Candidates:
        """One chunk for each noise of float32 [N, H, A], asked one after the other.

        Raises:
            InputError: as :meth:`infer`; or more than one is wanted of a server that does not
                take noise, whose chunks could all be the same.
        """
        if noise.ndim != 3 or len(noise) < 1:
            raise InputError("noise", f"is {list(noise.shape)}", "give [N, H, A]")
        if len(noise) > 1 and not self.supports_prefix:
            raise InputError(
                self._place, "its server takes no noise to draw several chunks with", "draw one"
            )
        chunks = [self.infer(observation, prefix, delay, one) for one in noise]
        return Candidates(np.stack(chunks), None)

    def close(self) -> None:
        """Ends the connection; a request under way is left to its own deadline."""
        if self._lock.acquire(timeout=_CLOSE_S):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _checked(
        self, observation: Mapping[str, NDArray[Any]], prefix: Floats, delay: int, noise: Floats
    ) -> Observation:
        samples = assemble(self.contract, observation)
        for key, value in samples.items():
            if value.dtype != np.uint8 and not np.isfinite(value).all():
                raise InputError(key, "is not finite", "check its publisher")
        if not self.supports_prefix:
            if delay != 0:
                raise InputError(
                    "delay", "is for a policy that knows no prefix", "take another strategy"
                )
            return samples
        for name, value in (("prefix", prefix), ("noise", noise)):
            if value.shape != self._shape or value.dtype != np.float32:
                raise InputError(name, f"is {value.dtype}{list(value.shape)}", "give the chunk's")
            if not np.isfinite(value).all():
                raise InputError(name, "is not finite", "check what makes it")
        largest = self.contract.action.max_delay
        if not 0 <= delay <= largest:
            raise InputError("delay", f"{delay} is outside 0 to {largest}", "infer faster")
        committed = prefix[:delay]
        if (committed < self._minimum).any() or (committed > self._maximum).any():
            raise InputError("prefix", "is outside the contract's bounds", "bound the actions")
        return samples

    def _ask(self, samples: Observation, sampling: Sampling) -> Floats:
        fields = self._sent.fields(samples)
        request = self._adapter.request(fields, self._sent.instruction, sampling)
        try:
            data = self._link.exchange(request, self._policy.server.answer_s)
        except InputError:
            self._drop()
            raise
        answer = self._adapter.answer(self._url, data)
        chunk = self._made.chunk(answer.actions, self._url)
        self.server_ms = answer.server_ms
        if self.supports_prefix:
            committed = sampling.prefix[: sampling.delay]
            off = np.abs(chunk[: sampling.delay] - committed) / (self._maximum - self._minimum)
            if off.max(initial=0.0) > PREFIX_TOLERANCE:
                raise InputError(
                    self._url, "does not keep the prefix", "set protocol.prefix to false"
                )
            chunk[: sampling.delay] = committed
        return chunk

    def _connect(self) -> None:
        if self._open:
            return
        if self._failed is not None and self._clock() < self._not_before:
            before = self._failed
            raise InputError(before.place, before.problem, before.remedy)
        try:
            metadata = self._link.open()
            self._adapter.check_metadata(self._url, metadata)
            digest = self._digest_of(metadata)
            if self._digest not in (None, digest):
                raise InputError(
                    self._url,
                    f"serves another policy than before ({digest}, before {self._digest})",
                    "start the node again if that is meant",
                )
            data = self._link.exchange(self._trial, self._policy.server.first_answer_s)
            self._adapter.answer(self._url, data)
        except InputError as error:
            self._drop()
            self._failed = error
            self._not_before = self._clock() + self._pause_s
            self._pause_s = min(2.0 * self._pause_s, LONGEST_RETRY_S)
            raise
        self._open, self._failed, self._digest = True, None, digest
        self._pause_s = FIRST_RETRY_S
        self._say(f"{self._url} answers; it is {self.version}")

    def _trial_request(self) -> bytes:
        """A request about nothing, whose answer must have the right shape and is thrown away."""
        nothing = {
            stream.key: np.full(stream.shape, 128 if stream.kind == "image" else 0, stream.dtype)
            for stream in self.contract.streams
        }
        zeros = np.zeros(self._shape, dtype=np.float32)
        # Of its own adapter, so that no window of observations remembers this one.
        return make_adapter(self._place, self._policy).request(
            self._sent.fields(nothing), self._sent.instruction, Sampling(zeros, 0, zeros)
        )

    def _drop(self) -> None:
        self._open = False
        self._link.close()

    def _digest_of(self, metadata: bytes | None) -> str:
        # Where it is served does not change what it does. The trial shows what is really sent,
        # such as the image of a goal.
        file = json.dumps(
            self._policy.model_dump(mode="json", exclude={"server"}), sort_keys=True
        ).encode()
        parts = [file, self._trial, metadata or b""]
        whole = b"".join(hashlib.sha256(part).digest() for part in parts)
        return hashlib.sha256(whole).hexdigest()[:12]


def load_remote(
    name_or_path: str | Path, contract: Contract, say: Callable[[str], None] = lambda line: None
) -> RemoteEngine:
    """The engine of a shipped file (``config/remote/<name>.yaml``) or of one by path.

    Raises:
        InputError: the file is wrong, or fits neither the contract nor its protocol.
    """
    path = named_file("remote", name_or_path)
    return RemoteEngine(path, load_yaml(path, RemotePolicy), contract, say)
