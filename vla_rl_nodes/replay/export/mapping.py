"""Which feature of a LeRobot dataset is which stream of a contract, in which order and unit.

A dataset that this package exported needs no mapping. For any other one a YAML file says what
the dataset itself does not: LeRobot's format has no units, and its names are free. ::

    mapping: 1
    robot: panda                       # the dataset's robot_type, if it is not the contract's
    streams:
      image_wrist: {feature: observation.images.hand}
      state:
        feature: observation.state
        names: [tool_x, tool_y, tool_z]  # its columns, by the contract's names
        units: [m, m, m]
    action: {feature: action, units: [m, m, m, rad, m]}   # names as the dataset has them
    outcome: success                   # of every episode, where the dataset does not say

Columns are chosen by name, so a dataset may have more, in another order. Nothing is converted: a
unit that is not the contract's is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vla_rl_nodes.bags.manifest import Outcome
from vla_rl_nodes.contract.load import load_yaml
from vla_rl_nodes.contract.spec import Contract, Name, Strict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export.lerobot_info import FeatureInfo
from vla_rl_nodes.replay.export.lerobot_read import LeRobotFolder

# Actions that say where to go or how fast, and not by how much: one of them may stand for several
# shorter steps. Of increments the steps between would be lost.
_ABSOLUTE = ("joint_position", "base_velocity")


class Source(Strict):
    """One feature, and its components by the contract's names and units."""

    feature: Annotated[str, Field(min_length=1, max_length=200)]
    names: list[str] | None = None
    units: list[str] | None = None


class Mapping(Strict):
    """The mapping's file."""

    mapping: Literal[1]
    robot: str | None = None
    streams: dict[Name, Source] = {}
    action: Source | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Plan:
    """What is read for a contract, checked.

    Attributes:
        contract: of the episodes that are made.
        features: the feature of each stream, and of the action under ``action``.
        columns: the components of each vector, in the contract's order.
        every: frames of the dataset for one step; above 1 the others are left out.
        outcome: of every episode, where the dataset does not say.
    """

    contract: Contract
    features: dict[str, str]
    columns: dict[str, list[int]]
    every: int
    outcome: Outcome | None


def load_mapping(path: Path | None) -> Mapping:
    """The mapping's file; the empty mapping without one.

    Raises:
        InputError: see :func:`vla_rl_nodes.contract.load.load_yaml`.
    """
    return Mapping(mapping=1) if path is None else load_yaml(path, Mapping)


def plan(dataset: LeRobotFolder, contract: Contract, mapping: Mapping) -> Plan:
    """Checks that a dataset is what a contract says.

    Raises:
        InputError: another robot or rate, or a feature is missing or has another type, shape,
            name or unit, or one that the dataset does not say and the mapping does not either.
    """
    _check_robot(dataset, contract, mapping)
    unknown = sorted(set(mapping.streams) - {s.key for s in contract.streams})
    if unknown:
        raise InputError(
            "mapping", f"stream '{unknown[0]}' is none of {contract.name}'s", "remove it"
        )
    features, columns = {}, {}
    for stream in contract.streams:
        source = mapping.streams.get(stream.key) or Source(
            feature=layout.stream_feature(stream.key, stream.kind)
        )
        info = _feature(dataset, source, f"stream {stream.key}")
        features[stream.key] = source.feature
        if stream.kind == "image":
            sizes = {stream.shape}
            if stream.source is not None:
                sizes.add((stream.source.height, stream.source.width, 3))
            _check_picture(dataset, source, info, sizes)
        else:
            quantities = [q for t in stream.transforms for q in (t.select or ())]
            wanted = [(q.name, str(q.unit)) for q in quantities]
            columns[stream.key] = _columns(dataset, contract, source, info, wanted)
    source = mapping.action or Source(feature=layout.ACTION)
    info = _feature(dataset, source, "the action")
    features[layout.ACTION] = source.feature
    wanted = [(axis.name, str(axis.unit)) for axis in contract.action.axes]
    columns[layout.ACTION] = _columns(dataset, contract, source, info, wanted)
    every = _every(dataset, contract)
    return Plan(contract, features, columns, every, mapping.outcome)


def _check_robot(dataset: LeRobotFolder, contract: Contract, mapping: Mapping) -> None:
    found = dataset.info.robot_type
    if found not in (contract.robot, mapping.robot) or found is None:
        raise InputError(
            dataset.folder / layout.INFO,
            f"is of the robot '{(found or 'unknown')[:60]}', the contract of {contract.robot}",
            "name it in the mapping under 'robot' if it is the same",
        )


def _feature(dataset: LeRobotFolder, source: Source, what: str) -> FeatureInfo:
    info = dataset.info.features.get(source.feature)
    if info is None:
        raise InputError(
            dataset.folder / layout.INFO,
            f"has no feature '{source.feature}' for {what}",
            "name the feature in the mapping",
        )
    return info


def _check_picture(
    dataset: LeRobotFolder, source: Source, info: FeatureInfo, sizes: set[tuple[int, ...]]
) -> None:
    names = info.components or []
    shape = tuple(info.shape)
    if names[:1] in (["channels"], ["channel"]):
        shape = (*shape[1:], shape[0])
    if info.dtype not in ("image", "video") or shape not in sizes:
        wanted = " or ".join(str(list(size)) for size in sorted(sizes))
        raise InputError(
            dataset.folder / layout.INFO,
            f"feature '{source.feature}' is {info.dtype}{info.shape}, not an image {wanted}",
            "map another feature, or make a contract for this dataset",
        )


def _columns(
    dataset: LeRobotFolder,
    contract: Contract,
    source: Source,
    info: FeatureInfo,
    wanted: list[tuple[str, str]],
) -> list[int]:
    place = f"{dataset.folder / layout.INFO}: {source.feature}"
    if info.dtype not in ("float32", "float64") or len(info.shape) != 1:
        raise InputError(
            place, f"is {info.dtype}{info.shape}, not a vector", "map another feature"
        )
    size = info.shape[0]
    export = dataset.export
    names, units = source.names or info.components, source.units
    if export is not None:
        units = units or export.units.get(source.feature)
        if export.contract_sha256 == contract.sha256 and size == len(wanted):
            # The contract itself, by its hash, says what the columns are.
            names, units = names or [n for n, _ in wanted], units or [u for _, u in wanted]
    for what, given in (("names", names), ("units", units)):
        if given is None:
            raise InputError(place, f"does not say its {what}", f"give '{what}' in the mapping")
        if len(given) != size:
            raise InputError(
                place, f"has {size} components and {len(given)} {what}", "correct the mapping"
            )
    assert names is not None and units is not None
    found = []
    for name, unit in wanted:
        if names.count(name) != 1:
            raise InputError(
                place, f"has not one component '{name}'", "give 'names' in the mapping"
            )
        index = names.index(name)
        if units[index] != unit:
            raise InputError(
                place,
                f"{name} is in '{units[index][:20]}', the contract's in '{unit}'",
                "convert the dataset; nothing is converted here",
            )
        found.append(index)
    return found


def _every(dataset: LeRobotFolder, contract: Contract) -> int:
    fps, rate = dataset.info.fps, contract.policy_hz
    place = dataset.folder / layout.INFO
    if fps % rate:
        raise InputError(
            place, f"has {fps:g} frames a second, no multiple of {rate} Hz", "resample the dataset"
        )
    every = int(fps // rate)
    if every > 1 and contract.action.kind not in _ABSOLUTE:
        raise InputError(
            place,
            f"has {fps:g} frames a second, {every} of them a step of {contract.name}, whose"
            " actions are increments and cannot be left out",
            f"resample the dataset to {rate} frames a second",
        )
    return every
