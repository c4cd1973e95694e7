"""What every engine does around its network: the checks of what goes in and of what comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import MODEL, Bundle

Floats = NDArray[np.float32]
Samples = dict[str, NDArray[Any]]

LARGEST_CANDIDATES = 256
_WARM_UP_RUNS = 3
# A prefix that went through the graph may be rounded in trial runs; answers are made exact.
_PREFIX_TOLERANCE = 1e-6
# A joint probability is a float32 softmax: its sum is this near to one.
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Candidates:
    """Several chunks for one observation.

    Attributes:
        chunks: float32 [N, H, A] in action units; the committed rows are the prefix's.
        outcome: float32 [N, 2, K], the joint probability of failure or success (in this order)
            and of the bin of ticks that remain; None when the policy forecasts nothing.
    """

    chunks: Floats
    outcome: Floats | None


class CheckedEngine(ABC):
    """An engine but for its network: :meth:`_run` is all that a kind of engine adds.

    Everything is in the contract's units; normalisation is inside the graph. Calls from several
    threads are safe.

    Attributes:
        name: such as ``onnxruntime-cpu``.
        bundle: what it runs.
        file: the graph of the bundle that it runs.
        candidates: the most chunks that one call of :meth:`infer_many` may ask for.
    """

    def __init__(self, bundle: Bundle, name: str, candidates: int, file: str = MODEL) -> None:
        """Notes what the contract asks for.

        Raises:
            InputError: ``candidates`` is out of range, or the bundle has no such file.
        """
        if not 1 <= candidates <= LARGEST_CANDIDATES:
            raise InputError("candidates", f"is {candidates}", f"give 1 to {LARGEST_CANDIDATES}")
        self.name, self.bundle, self.file, self.candidates = name, bundle, file, candidates
        self._place = bundle.path / file
        if file not in bundle.files:
            raise InputError(self._place, "is not in the bundle", "export it with the policy")
        action = bundle.contract.action
        self._shape = (action.chunk_length, len(action.names))
        # float32, because a bound such as 0.15 rounds upwards in it.
        self._minimum = action.minimum.astype(np.float32)
        self._maximum = action.maximum.astype(np.float32)
        self._max_delay = action.max_delay
        outcome = bundle.manifest.outcome
        self._bins = None if outcome is None else len(outcome.remaining_ticks)
        # The contract works these out anew at every look; here they are asked at every call.
        self._streams = [
            (s.key, s.shape, s.dtype, s.kind == "vector") for s in bundle.contract.streams
        ]

    def infer(
        self,
        observation: Mapping[str, NDArray[Any]],
        prefix: Floats,
        delay: int,
        noise: Floats,
    ) -> Floats:
        """One chunk [H, A] in action units, whose rows before ``delay`` are the prefix's.

        Args:
            observation: stream key to array, as contract.observation.assemble makes it.
            prefix: float32 [H, A]; its first ``delay`` rows are committed, the rest is ignored.
            delay: number of committed actions, 0 to the contract's max_delay.
            noise: float32 [H, A], standard normal; a zero array is outside what was trained.

        Raises:
            InputError: an argument has the wrong shape, type or range or is not finite, the
                delay is above the trained maximum, or the network's answer is not finite or
                outside the action bounds.
        """
        samples = self.check(observation, prefix, delay)
        self._check_chunk("noise", noise, noise.shape)
        chunks, _ = self._answer(samples, prefix, delay, noise[None])
        chunk: Floats = chunks[0]
        return chunk

    def infer_many(
        self,
        observation: Mapping[str, NDArray[Any]],
        prefix: Floats,
        delay: int,
        noise: Floats,
    ) -> Candidates:
        """One chunk for each of N noises, all for the same observation and prefix.

        Args:
            observation: as :meth:`infer`.
            prefix: as :meth:`infer`, float32 [H, A].
            delay: as :meth:`infer`.
            noise: float32 [N, H, A], N from 1 to :attr:`candidates`.

        Raises:
            InputError: as :meth:`infer`; or N is out of range; or a forecast is no probability.
        """
        if noise.ndim != 3 or not 1 <= len(noise) <= self.candidates:
            raise InputError(
                "noise",
                f"is {list(noise.shape)}, the engine takes 1 to {self.candidates} candidates",
                "ask for fewer, or prepare the engine for more",
            )
        samples = self.check(observation, prefix, delay)
        self._check_chunk("noise", noise, noise.shape[1:])
        return Candidates(*self._answer(samples, prefix, delay, noise))

    def check(
        self, observation: Mapping[str, NDArray[Any]], prefix: Floats, delay: int
    ) -> Samples:
        """Refuses an observation, prefix or delay that the network must not see.

        Returns:
            The contract's streams of the observation, not copied; other keys are left out.

        Raises:
            InputError: see :meth:`infer`.
        """
        samples: Samples = {}
        for key, shape, dtype, vector in self._streams:
            value = observation.get(key)
            if value is None:
                raise InputError(key, "has no sample for this step", "check its publisher")
            if value.shape != shape or value.dtype != dtype:
                raise InputError(
                    key,
                    f"is {value.dtype}{list(value.shape)}, not {dtype}{list(shape)}",
                    "make it with contract.observation.assemble",
                )
            if vector and not np.isfinite(value).all():
                raise InputError(key, "is not finite", "check its publisher")
            samples[key] = value
        whole = isinstance(delay, int | np.integer)
        if not whole or not 0 <= delay <= self._max_delay:
            raise InputError(
                "delay",
                f"{delay} is outside 0 to {self._max_delay}",
                "infer faster or train for more",
            )
        self._check_chunk("prefix", prefix, prefix.shape)
        committed = prefix[:delay]
        if (committed < self._minimum).any() or (committed > self._maximum).any():
            raise InputError("prefix", "is outside the contract's bounds", "bound the actions")
        return samples

    @abstractmethod
    def _run(
        self, samples: Samples, prefix: Floats, delay: int, noise: Floats
    ) -> tuple[Floats, Floats | None]:
        """What the graph gives for arguments that were checked.

        Args:
            samples: of :meth:`check`.
            prefix: [H, A].
            delay: committed rows.
            noise: [N, H, A], N not above :attr:`candidates`.

        Returns:
            chunks [N, H, A] and outcome [N, 2, K] or None, which the caller may keep and change.

        Raises:
            InputError: the graph fails, or the device does.
        """

    def _answer(
        self, samples: Samples, prefix: Floats, delay: int, noise: Floats
    ) -> tuple[Floats, Floats | None]:
        chunks, outcome = self._run(samples, prefix, delay, noise)
        self._check_answer(chunks, outcome, len(noise))
        # The graph keeps the prefix; this makes it so bit for bit, whatever made the graph.
        chunks[:, :delay] = prefix[:delay]
        return chunks, outcome

    def _check_chunk(self, name: str, value: Floats, shape: tuple[int, ...]) -> None:
        if shape != self._shape or value.dtype != np.float32:
            raise InputError(
                name,
                f"is {value.dtype}{list(value.shape)}, not float32{list(self._shape)}",
                "make it fit the contract's chunk",
            )
        if not np.isfinite(value).all():
            raise InputError(name, "is not finite", "check what makes it")

    def _check_answer(self, chunks: Floats, outcome: Floats | None, count: int) -> None:
        if chunks.shape != (count, *self._shape):
            raise InputError(
                self._place, f"gave chunks of shape {list(chunks.shape)}", "export it again"
            )
        # A comparison with what is not a number is false, so this finds that, too.
        if not ((chunks >= self._minimum) & (chunks <= self._maximum)).all():
            if not np.isfinite(chunks).all():
                raise InputError(self._place, "gave a chunk that is not finite", "retrain it")
            raise InputError(self._place, "leaves the action bounds", "export it again")
        if outcome is None:
            return
        if outcome.shape != (count, 2, self._bins):
            raise InputError(
                self._place, f"gave an outcome of shape {list(outcome.shape)}", "export it again"
            )
        sums = outcome.sum(axis=(1, 2))
        if not ((outcome >= 0).all() and (abs(sums - 1) <= _SUM_TOLERANCE).all()):
            raise InputError(
                self._place, "gave an outcome that is no probability", "export it again"
            )

    def _warm_up(self) -> None:
        """Trial runs at every delay and with the most candidates; the first ones are the slowest.

        Raises:
            InputError: an answer is not finite, leaves the action bounds, is no probability, or
                changes the prefix.
        """
        generator = np.random.default_rng(0)
        for delay in range(self._max_delay + 1):
            arguments = trial(self.bundle, generator)
            for _ in range(_WARM_UP_RUNS):
                self._try(*arguments, delay, 1, generator)
        if self.candidates > 1:
            arguments = trial(self.bundle, generator)
            self._try(*arguments, self._max_delay, self.candidates, generator)

    def _try(
        self,
        samples: Samples,
        prefix: Floats,
        delay: int,
        count: int,
        generator: np.random.Generator,
    ) -> None:
        noise = generator.standard_normal((count, *self._shape), np.float32)
        chunks, outcome = self._run(samples, prefix, delay, noise)
        self._check_answer(chunks, outcome, count)
        if not np.allclose(chunks[:, :delay], prefix[:delay], rtol=0, atol=_PREFIX_TOLERANCE):
            raise InputError(
                self._place, f"changes the prefix at delay {delay}", "export it again"
            )


def trial(bundle: Bundle, generator: np.random.Generator) -> tuple[Samples, Floats]:
    """A made-up observation and a prefix [H, A] inside the bounds, for trial runs.

    Images are uniform noise and vectors standard normal: wilder than anything a robot sees.
    """
    action = bundle.contract.action
    samples: Samples = {}
    for stream in bundle.contract.streams:
        if stream.kind == "image":
            samples[stream.key] = generator.integers(0, 256, stream.shape, np.uint8)
        else:
            samples[stream.key] = generator.standard_normal(stream.shape, np.float32)
    low, high = action.minimum.astype(np.float32), action.maximum.astype(np.float32)
    share = generator.random((action.chunk_length, len(action.names)), np.float32)
    return samples, low + share * (high - low)
