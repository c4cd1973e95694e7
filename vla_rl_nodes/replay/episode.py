"""One episode of transitions: its arrays, its description, and their folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vla_rl_nodes.bags.manifest import Count, EpisodeId, Outcome, Sha256
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.critique import Critique, critiques_bytes
from vla_rl_nodes.replay.interventions import edges
from vla_rl_nodes.replay.npy import npy_parts, parse_npy, read_file

HEADER = "episode.json"
LAYOUT: Final = 2
NO_REWARD = -1  # in ``reward_source``
_LARGEST_HEADER = 1 << 24  # a critique that is all control characters is six times as long


class LayoutError(InputError):
    """An episode that another version of this package converted."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Layout(BaseModel):
    """What headers of every layout have."""

    model_config = ConfigDict(strict=True)
    replay: int


class ArrayFile(_Strict):
    """One ``.npy`` file: its hash, NumPy dtype and shape."""

    sha256: Sha256
    dtype: str
    shape: list[Count]


class EpisodeHeader(_Strict):
    """episode.json.

    Attributes:
        replay: the layout of the folder and of this file.
        task: what is to be done, in words, as the contract says it.
        goal: what this one episode is to reach, in words; empty where nobody said.
        streams: each observation stream's NumPy type and shape.
        policy_versions: the table that the array ``policy_version`` indexes.
        reward_sources: the table that the array ``reward_source`` indexes.
        counts: ``ticks`` of the episode; of these ``after_end`` and ``dropped_*`` made no step,
            for the reasons in ``replay.observe.Unbuilt``, ``dropped_held`` because the episode
            was paused, waited for help or was taken back by the reset; ``breaks`` are the steps
            that stand for such stretches; ``dropped_last`` is 1 where the end could not be
            observed; ``gaps`` are steps longer than one and a half periods;
            ``critiques_left_out``, where there are any, had no room.
        refused: messages per topic that broke the contract or repeated a stamp.
        recorder_dropped: messages per topic that the recorder could not keep up with.
        content_sha256: over the names, types, shapes and bytes of all arrays, and the critiques.
        interventions: how often a person took over, each time counted once.
        start_state: what ``start_state_sha256`` was taken of, see ``replay.start_state``; both are
            None in an episode that was not converted from a bag.
        salvaged_from: what the bag was salvaged from, None in a bag that its recorder closed.
        metadata: what else the bag's metadata and the event that ended the episode say, such as
            ``operator`` and ``reset_mode``.
        critiques: what judges said in words, in the order of steps and stamps.
    """

    replay: Literal[2] = LAYOUT
    episode_id: EpisodeId
    contract: str
    contract_sha256: Sha256
    bag_sha256: Sha256 | None
    outcome: Outcome
    reason: str
    seed: int | None
    task: str
    robot: str
    steps: Annotated[int, Field(ge=1)]
    policy_hz: Annotated[int, Field(ge=1)]
    chunk_length: Annotated[int, Field(ge=1)]
    action_names: list[str]
    streams: dict[str, tuple[Literal["|u1", "<f4"], list[Count]]]
    privileged_names: list[str]
    policy_versions: list[str]
    reward_sources: list[str]
    counts: dict[str, Count]
    refused: dict[str, Count]
    recorder_dropped: dict[str, Count]
    content_sha256: Sha256
    files: dict[str, ArrayFile]
    goal: str = ""
    interventions: Count = 0
    start_state: Literal["privileged", "observation"] | None = None
    start_state_sha256: Sha256 | None = None
    salvaged_from: str | None = None
    metadata: dict[str, str] = {}
    critiques: list[Critique] = []

    @model_validator(mode="after")
    def _check_critiques(self) -> Self:
        steps = [critique.step for critique in self.critiques]
        if steps != sorted(steps) or max(steps, default=0) >= self.steps:
            raise ValueError("critiques are not those of the steps in their order")
        return self


_LEFT_OUT = cast("Any", None)


@dataclass(frozen=True)
class Transitions:
    """T steps of one episode; row k+1 of an observation is the next observation of step k.

    While an episode is paused, waits for help or is taken back by the reset, nothing is a step of
    it. One row stands for all of such a stretch: its observation is what was seen when the
    stretch began, to which the step before leads; it has no actions, no chunk and no reward, and
    both it and the step before are truncated, so that nothing is learnt across. Where single
    ticks are missing, the stamps tell: such a step lasts for more than one and a half periods.

    Attributes:
        stamp_ns: int64 [T+1]: the control ticks, then the end; nanoseconds, node clock.
        action_proposed: float32 [T, A]: the policy's; NaN rows where there was none.
        action_residual: float32 [T, A]: added to it; NaN rows where there was none.
        action_intervention: float32 [T, A]: the person's; NaN rows where there was none.
        action_executed: float32 [T, A]: what the filter accepted; NaN rows where nothing.
        intervened: bool [T]: whether a person's action carries the tick's stamp, and the filter
            has not executed the policy's instead.
        reward: float32 [T]: NaN where no reward was published during the step. That of a success
            is the last one, whenever it was judged; see ``replay.outcome``.
        terminated: bool [T]: the step in which success or failure came.
        truncated: bool [T]: the step behind which the record ends, or breaks off, otherwise.
        chunk_id: int32 [T], -1 where the policy gave none; so are the three below.
        chunk_index: int32 [T]: which action of the chunk was taken.
        delay: int32 [T]: ticks that the chunk was late.
        noise_seed: int64 [T]: of the chunk's noise.
        policy_version: int32 [T]: index in the header's table.
        safety_reasons: uint32 [T]: bit mask of ``safety.reasons.Reason``.
        observation_match: uint8 [T]: see ``replay.observe.Match``.
        rule_differs: bool [T]: see ``replay.observe.Rebuilt``.
        chunk: float32 [T, H, A]: the chunk that starts at the tick; NaN where none does.
        privileged: float64 [T, P]: the simulator's state; None on a real robot.
        observations: by stream key, [T+1, ...].
        intervention_start: bool [T]: the first step of each intervention.
        intervention_end: bool [T]: its last; left out, both follow from ``intervened`` and
            ``action_executed`` as ``replay.interventions.edges`` says.
        reward_source: int32 [T]: index in the header's table, -1 where there is no reward; left
            out, every reward is of the table's first source.
        sample_stamp_ns: int64 [T, S]: when what the observation of each step shows was captured,
            for each stream in the alphabetical order of their keys; nanoseconds, the clocks of
            the sensors' drivers. -1 where that is not known; left out, nowhere.
    """

    stamp_ns: NDArray[np.int64]
    action_proposed: NDArray[np.float32]
    action_residual: NDArray[np.float32]
    action_intervention: NDArray[np.float32]
    action_executed: NDArray[np.float32]
    intervened: NDArray[np.bool_]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    chunk_id: NDArray[np.int32]
    chunk_index: NDArray[np.int32]
    delay: NDArray[np.int32]
    noise_seed: NDArray[np.int64]
    policy_version: NDArray[np.int32]
    safety_reasons: NDArray[np.uint32]
    observation_match: NDArray[np.uint8]
    rule_differs: NDArray[np.bool_]
    chunk: NDArray[np.float32]
    privileged: NDArray[np.float64] | None
    observations: Mapping[str, NDArray[Any]]
    intervention_start: NDArray[np.bool_] = field(default=_LEFT_OUT)
    intervention_end: NDArray[np.bool_] = field(default=_LEFT_OUT)
    reward_source: NDArray[np.int32] = field(default=_LEFT_OUT)
    sample_stamp_ns: NDArray[np.int64] = field(default=_LEFT_OUT)

    def __post_init__(self) -> None:
        """Fills in what was left out."""
        start, end = edges(self.intervened, self.action_executed)
        source = np.where(np.isnan(self.reward), NO_REWARD, 0).astype(np.int32)
        captured = np.full((len(self.reward), len(self.observations)), -1, dtype=np.int64)
        for name, value in (
            ("intervention_start", start), ("intervention_end", end), ("reward_source", source),
            ("sample_stamp_ns", captured),
        ):  # fmt: skip
            if getattr(self, name) is _LEFT_OUT:
                object.__setattr__(self, name, value)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by the names of their files, in the order of the files' names."""
        named = {name: getattr(self, name) for name in FIELDS if getattr(self, name) is not None}
        return dict(sorted({**named, **self.observations}.items()))


FIELDS = tuple(f.name for f in fields(Transitions) if f.name != "observations")


@dataclass(frozen=True)
class EpisodeData:
    """A converted episode, checked against its hashes."""

    header: EpisodeHeader
    transitions: Transitions


def content_sha256(arrays: Mapping[str, NDArray[Any]], critiques: Sequence[Critique] = ()) -> str:
    """SHA-256 over names, types, shapes and bytes of arrays in order of names, then critiques."""
    hasher = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        hasher.update(f"{name}:{array.dtype.str}:{list(array.shape)};".encode())
        hasher.update(np.ascontiguousarray(array).data)
    if critiques:  # without any the hash is that of the arrays alone
        hasher.update(b"critiques:" + critiques_bytes(critiques))
    return hasher.hexdigest()


def npy_bytes(array: NDArray[Any]) -> bytes:
    """The array as a ``.npy`` file: little-endian, C order, plain values only."""
    head, values = npy_parts(array)
    return head + values.tobytes()


def array_file(array: NDArray[Any]) -> ArrayFile:
    """What the header says of an array's file."""
    head, values = npy_parts(array)
    hasher = hashlib.sha256(head)
    hasher.update(values.data)
    return ArrayFile(sha256=hasher.hexdigest(), dtype=array.dtype.str, shape=list(array.shape))


def header_bytes(header: EpisodeHeader) -> bytes:
    """episode.json: sorted keys, and nothing that differs from one conversion to the next."""
    return (json.dumps(header.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()


def load_header(folder: Path) -> EpisodeHeader:
    """The description of a converted episode.

    Raises:
        LayoutError: another version converted it; the remedy says what to do.
        InputError: missing, unreadable, or not valid.
    """
    text = read_file(folder / HEADER, _LARGEST_HEADER, _REMEDY)
    _check_layout(folder, text)
    try:
        return EpisodeHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(folder / HEADER, f"{key}: {first['msg'].lower()}", _REMEDY) from error


def _check_layout(folder: Path, text: bytes) -> None:
    """Another layout is told apart from damage: its remedy is another one, too."""
    try:
        layout = _Layout.model_validate_json(text).replay
    except ValidationError:
        return  # the whole model names what is wrong
    if layout != LAYOUT:
        raise LayoutError(
            folder,
            f"has replay layout {layout}, not {LAYOUT}",
            "remove it and convert the episode's bag again"
            if layout < LAYOUT
            else "read it with the version that converted it",
        )


def load_episode(folder: Path) -> EpisodeData:
    """A converted episode, with every file's hash, type and shape checked.

    Raises:
        InputError: in one line, the file that is missing, changed or of another shape.
    """
    header = load_header(folder)
    expected = _layout(header)
    if set(header.files) != set(expected):
        wrong = sorted(set(header.files) ^ set(expected))[0]
        raise InputError(folder / HEADER, f"'{wrong}' is missing or too many", _REMEDY)
    arrays = {}
    for name, (dtype, shape) in expected.items():
        entry = header.files[name]
        if (entry.dtype, tuple(entry.shape)) != (dtype, shape):
            raise InputError(
                folder / HEADER,
                f"{name} is {entry.dtype}{entry.shape}, not {dtype}{list(shape)}",
                _REMEDY,
            )
        arrays[name] = _load_array(folder / f"{name}.npy", entry)
    if content_sha256(arrays, header.critiques) != header.content_sha256:
        raise InputError(folder / HEADER, "content_sha256 does not fit what is there", _REMEDY)
    named: dict[str, Any] = {name: arrays.pop(name) for name in FIELDS if name in arrays}
    named.setdefault("privileged", None)
    return EpisodeData(header, Transitions(observations=arrays, **named))


_REMEDY = "convert the episode's bag again"


def _layout(header: EpisodeHeader) -> dict[str, tuple[str, tuple[int, ...]]]:
    """dtype and shape that each array must have."""
    steps, axes = header.steps, len(header.action_names)
    action = ("<f4", (steps, axes))
    flag, i32 = ("|b1", (steps,)), ("<i4", (steps,))
    layout: dict[str, tuple[str, tuple[int, ...]]] = {
        "stamp_ns": ("<i8", (steps + 1,)),
        "action_proposed": action,
        "action_residual": action,
        "action_intervention": action,
        "action_executed": action,
        "intervened": flag,
        "reward": ("<f4", (steps,)),
        "terminated": flag,
        "truncated": flag,
        "chunk_id": i32,
        "chunk_index": i32,
        "delay": i32,
        "noise_seed": ("<i8", (steps,)),
        "policy_version": i32,
        "safety_reasons": ("<u4", (steps,)),
        "observation_match": ("|u1", (steps,)),
        "rule_differs": flag,
        "intervention_start": flag,
        "intervention_end": flag,
        "reward_source": i32,
        "sample_stamp_ns": ("<i8", (steps, len(header.streams))),
        "chunk": ("<f4", (steps, header.chunk_length, axes)),
    }
    if header.privileged_names:
        layout["privileged"] = ("<f8", (steps, len(header.privileged_names)))
    for key, (dtype, shape) in header.streams.items():
        layout[key] = (dtype, (steps + 1, *shape))
    return layout


def _load_array(path: Path, entry: ArrayFile) -> NDArray[Any]:
    items = int(np.prod(entry.shape, dtype=np.int64)) * np.dtype(entry.dtype).itemsize
    data = read_file(path, items + 1024, _REMEDY)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise InputError(path, "is damaged: its SHA-256 is not that of episode.json", _REMEDY)
    return parse_npy(data, entry.dtype, tuple(entry.shape), path, _REMEDY)
