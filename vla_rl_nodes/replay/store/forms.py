"""What a sample is: a step, a slice of consecutive steps, or a chunk of actions.

A sample never holds an invalid row. Which steps may begin one follows from what it is made of:

- every float array that it holds must be finite in every row of it, so that a step without an
  executed action or a reward begins no sample that holds one;
- a step whose next observation is used must be followed by it: not where ticks are missing behind
  it and it lasted for more than one and a half control periods;
- nothing reaches beyond its episode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.schema import FOLLOWED, Schema

# No array's name has a dot, so that these never meet one.
NEXT = "next."
CHUNK = "chunk."
_STAMPS = "stamp_ns"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Places:
    """Where N samples are read.

    Attributes:
        observations: rows of the observations, int64 [N, J].
        steps: rows of the steps, int64 [N, L].
    """

    observations: NDArray[np.int64]
    steps: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Form(ABC):
    """What all forms have.

    Attributes:
        observations: names of observation streams; None for all of them.
        fields: further arrays, which must be there.
        optional: further float arrays, NaN where a step has none.
        stack: k frames of each observation, the newest last; the first frame of an episode stands
            for those before it. 1 adds no axis.
    """

    observations: tuple[str, ...] | None = None
    fields: tuple[str, ...] = ("action_executed", "reward", "terminated", "truncated")
    optional: tuple[str, ...] = ()
    stack: int = 1

    def __post_init__(self) -> None:
        if self.stack < 1:
            raise InputError(f"stack {self.stack}", "is no number of frames", "give 1 or more")

    @abstractmethod
    def eligible(self, schema: Schema, flags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which steps of an episode may begin a sample, bool [T], from its rows' flags [T+1]."""

    @abstractmethod
    def places(self, entries: NDArray[Any]) -> Places:
        """The rows that the samples beginning at entries of a pool are made of."""

    @abstractmethod
    def assemble(self, observations: Arrays, steps: Arrays, entries: NDArray[Any]) -> Arrays:
        """Samples from what was read.

        Args:
            observations: by name, [N, J, ...].
            steps: by name, [N, L, ...].
            entries: of the pool, [N].
        """

    def observation_names(self, schema: Schema) -> tuple[str, ...]:
        """The observation streams that are read."""
        if self.observations is not None:
            return self.observations
        fields = schema.fields.items()
        return tuple(n for n, f in fields if f.per == "observation" and n != _STAMPS)

    def step_names(self) -> tuple[str, ...]:
        """The step arrays that are read."""
        return tuple(dict.fromkeys((*self.fields, *self.optional)))

    def check(self, schema: Schema) -> None:
        """Whether a store has what the form asks for.

        Raises:
            InputError: it has no such array, or one of the other kind.
        """
        for names, per in (
            (self.observation_names(schema), "observation"), (self.step_names(), "step"),
        ):  # fmt: skip
            for name in names:
                if schema.find(name).per != per:
                    raise InputError(
                        f"array '{name}'", f"is not one for each {per}", f"name one for each {per}"
                    )

    def _observed(self, schema: Schema, flags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Rows whose observation, with the frames that are stacked on it, is whole, [T+1]."""
        here = _whole(schema, flags, self.observation_names(schema))
        rows = np.arange(len(flags))
        stacked = here.copy()
        for back in range(1, self.stack):
            stacked &= here[np.maximum(rows - back, 0)]
        return stacked

    def _stacked(self, frames: NDArray[Any]) -> NDArray[Any]:
        """[N, J, ...] to [N, J-k+1, k, ...], of the same memory; unchanged without a stack."""
        if self.stack == 1:
            return frames
        windows = sliding_window_view(frames, self.stack, axis=1, writeable=True)
        return np.moveaxis(windows, -1, 2)


@dataclass(frozen=True, kw_only=True)
class Slices(Form):
    """Stretches of consecutive steps of one episode: arrays [N, L, ...].

    Attributes:
        length: L.
        next_observation: whether every step comes with the observation behind it, under its name
            with ``next.`` before; frames that are both are read once and share their memory.
    """

    length: int
    next_observation: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1:
            raise InputError(f"length {self.length}", "gives no slices", "give 1 or more")

    def eligible(self, schema: Schema, flags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """See :class:`Form`: all L steps must be whole and follow each other."""
        observed = self._observed(schema, flags)
        whole = _whole(schema, flags, self.fields)[:-1] & observed[:-1]
        followed = _followed(flags)
        if self.next_observation:
            whole &= followed & observed[1:]
        begins = _windows(whole, np.full(len(whole), self.length))
        return begins & _windows(followed, np.full(len(whole), self.length - 1))

    def places(self, entries: NDArray[Any]) -> Places:
        """See :class:`Form`: frames before the slice, the slice, and the one behind it."""
        offsets = np.arange(1 - self.stack, self.length + self.next_observation)
        rows = entries["row"][:, None]
        return Places(
            np.maximum(rows + offsets, entries["begin"][:, None]), rows + np.arange(self.length)
        )

    def assemble(self, observations: Arrays, steps: Arrays, entries: NDArray[Any]) -> Arrays:
        """See :class:`Form`."""
        found = dict(steps)
        for name, frames in observations.items():
            stacked = self._stacked(frames)
            found[name] = stacked[:, : self.length]
            if self.next_observation:
                found[NEXT + name] = stacked[:, 1:]
        return found


@dataclass(frozen=True, kw_only=True)
class Steps(Form):
    """Single steps: arrays [N, ...]; by default transitions, with the next observation.

    Attributes:
        next_observation: see :class:`Slices`.
    """

    next_observation: bool = True

    def eligible(self, schema: Schema, flags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """See :class:`Form`."""
        return self._slices.eligible(schema, flags)

    def places(self, entries: NDArray[Any]) -> Places:
        """See :class:`Form`."""
        return self._slices.places(entries)

    def assemble(self, observations: Arrays, steps: Arrays, entries: NDArray[Any]) -> Arrays:
        """See :class:`Form`."""
        slices = self._slices.assemble(observations, steps, entries)
        return {name: array[:, 0] for name, array in slices.items()}

    @property
    def _slices(self) -> Slices:
        """A step is a slice of one."""
        return Slices(
            observations=self.observations, fields=self.fields, optional=self.optional,
            stack=self.stack, length=1, next_observation=self.next_observation,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Chunks(Form):
    """Up to C executed actions and what they earned, as ``replay.chunks`` defines them.

    A sample holds the observation before the first action and, with ``next.`` before the name,
    the one behind the last. The rest has ``chunk.`` before its name: ``action`` [N, C, A], 0
    behind the episode's end, where ``mask`` [N, C] is False; ``reward``, the sum of γ^i times the
    reward of the i-th step; ``discount``, γ^steps, 0 where the episode terminated;
    ``terminated``, ``truncated``, ``intervened`` (in any step) and ``steps`` [N]. ``fields`` are
    those of the first step.

    Attributes:
        length: C.
        gamma: discount of one step, above 0 and at most 1.
        whole: whether chunks that the episode's end cuts short are left out.
    """

    length: int
    gamma: float
    whole: bool = False
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1 or not 0.0 < self.gamma <= 1.0:
            raise InputError(
                f"length {self.length}, gamma {self.gamma}", "gives no chunks",
                "give a length of 1 or more and a gamma above 0 and up to 1",
            )  # fmt: skip

    def step_names(self) -> tuple[str, ...]:
        """See :class:`Form`."""
        return tuple(dict.fromkeys((*_NEEDED, "intervened", *super().step_names())))

    def eligible(self, schema: Schema, flags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """See :class:`Form`: every step inside needs its action, its reward and its successor."""
        observed = self._observed(schema, flags)
        inside = _whole(schema, flags, _NEEDED)[:-1] & _followed(flags)
        first = np.arange(len(inside))
        steps = np.minimum(self.length, len(inside) - first)
        begins = _windows(inside, steps) & observed[:-1] & observed[first + steps]
        begins &= _whole(schema, flags, self.fields)[:-1]
        return begins & (steps == self.length) if self.whole else begins

    def places(self, entries: NDArray[Any]) -> Places:
        """See :class:`Form`: the frames before the chunk and those behind it."""
        rows, begin, last = (entries[name][:, None] for name in ("row", "begin", "last"))
        back = np.arange(1 - self.stack, 1)
        behind = np.minimum(rows + self.length, last)
        return Places(
            np.maximum(np.concatenate([rows + back, behind + back], axis=1), begin),
            np.minimum(rows + np.arange(self.length), last - 1),
        )

    def assemble(self, observations: Arrays, steps: Arrays, entries: NDArray[Any]) -> Arrays:
        """See :class:`Form`."""
        found: Arrays = {name: steps[name][:, 0] for name in super().step_names()}
        for name, frames in observations.items():
            before, behind = frames[:, : self.stack], frames[:, self.stack :]
            found[name] = before if self.stack > 1 else before[:, 0]
            found[NEXT + name] = behind if self.stack > 1 else behind[:, 0]
        count = np.minimum(entries["last"] - entries["row"], self.length)
        mask = np.arange(self.length) < count[:, None]
        reward = np.zeros(len(entries))
        for offset in range(self.length):
            earned = self.gamma**offset * steps["reward"][:, offset].astype(np.float64)
            reward += np.where(mask[:, offset], earned, 0.0)
        final = np.arange(len(entries)), count - 1
        terminated = steps["terminated"][final]
        action = steps["action_executed"]
        made: Arrays = {
            "action": np.where(mask[:, :, None], action, np.zeros_like(action)),
            "mask": mask,
            "reward": reward.astype(np.float32),
            "discount": np.where(terminated, 0.0, self.gamma**count).astype(np.float32),
            "terminated": terminated,
            "truncated": steps["truncated"][final],
            "intervened": (steps["intervened"] & mask).any(axis=1),
            "steps": count.astype(np.int32),
        }
        return found | {CHUNK + name: array for name, array in made.items()}


_NEEDED = ("action_executed", "reward", "terminated", "truncated")


def _whole(schema: Schema, flags: NDArray[np.uint64], names: Sequence[str]) -> NDArray[np.bool_]:
    """Rows in which all these arrays are finite."""
    need = np.uint64(0)
    for name in names:
        need |= schema.bit(name)
    return np.asarray((flags & need) == need)


def _followed(flags: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Steps whose successor is there, [T]."""
    return np.asarray((flags[:-1] & FOLLOWED) != 0)


def _windows(good: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each i whether ``good[i : i + lengths[i]]`` is inside and all true."""
    bad = np.concatenate([[0], np.cumsum(~good)])
    first = np.arange(len(good))
    end = np.minimum(first + lengths, len(good))
    return np.asarray((bad[end] == bad[first]) & (first + lengths <= len(good)))
