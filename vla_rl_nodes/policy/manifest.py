"""What a bundle says about itself, and whether that is what a contract asks for."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from vla_rl_nodes.contract.spec import Component, Contract, Finite, Name, Positive, Strict
from vla_rl_nodes.errors import InputError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
# No separators and no leading dot, so that a name can never lead out of the bundle's folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}\.[a-z0-9]{1,8}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=1, le=8192)]


class ContractMark(Strict):
    """The contract that the policy was trained for."""

    name: Name
    sha256: Sha256


class StreamSpec(Strict):
    """One observation input, without the batch axis."""

    key: Name
    kind: Literal["image", "vector"]
    dtype: Literal["uint8", "float32"]
    shape: Annotated[list[Length], Field(min_length=1, max_length=3)]
    names: list[Component]


class ActionSpec(Strict):
    """The action axes with their units and bounds per control tick."""

    kind: Name
    frame: Text
    names: Annotated[list[Component], Field(min_length=1)]
    units: list[Text]
    minimum: list[Finite]
    maximum: list[Finite]


class Training(Strict):
    """What the policy was made from, and how it did on held-out episodes."""

    seed: int
    data_sha256: Sha256
    episodes: Count
    windows: Count
    parameters: Count
    metrics: dict[str, Finite]


class FileMark(Strict):
    """Size and hash of one file of the bundle."""

    bytes: Count
    sha256: Sha256


class Flow(Strict):
    """The multi-step teacher in context, velocity and field.onnx: its units and its steps."""

    steps: Annotated[int, Field(ge=1, le=1000)]
    action_mean: Annotated[list[Finite], Field(min_length=1)]
    action_spread: Annotated[list[Positive], Field(min_length=1)]


class Outcome(Strict):
    """The student's forecast of its own end: centres of the bins of ticks that remain."""

    remaining_ticks: Annotated[list[Positive], Field(min_length=2, max_length=256)]


class Manifest(Strict):
    """``manifest.json``. It holds no time stamp: the same training gives the same bytes."""

    bundle: Literal[1]
    contract: ContractMark
    policy_hz: Annotated[int, Field(ge=1, le=1000)]
    observation: Annotated[list[StreamSpec], Field(min_length=1)]
    action: ActionSpec
    chunk_length: Length
    max_delay: Count
    noise_shape: Annotated[list[Length], Field(min_length=2, max_length=2)]
    recipe: Name
    parent: Version | None
    training: Training
    flow: Flow | None = None
    outcome: Outcome | None = None
    created_by: dict[Name, Text]
    files: Annotated[dict[FileName, FileMark], Field(min_length=1, max_length=16)]


def specification(contract: Contract) -> dict[str, Any]:
    """The manifest's fields that follow from a contract alone."""
    action = contract.action
    return {
        "contract": {"name": contract.name, "sha256": contract.sha256},
        "policy_hz": contract.policy_hz,
        "observation": [
            {
                "key": stream.key,
                "kind": stream.kind,
                "dtype": stream.dtype.name,
                "shape": list(stream.shape),
                "names": list(stream.names),
            }
            for stream in contract.streams
        ],
        "action": {
            "kind": action.kind,
            "frame": action.frame,
            "names": list(action.names),
            "units": [axis.unit for axis in action.axes],
            "minimum": action.minimum.tolist(),
            "maximum": action.maximum.tolist(),
        },
        "chunk_length": action.chunk_length,
        "max_delay": action.max_delay,
        "noise_shape": [action.chunk_length, len(action.names)],
    }


def manifest_bytes(manifest: Manifest) -> bytes:
    """The bytes that are signed: sorted keys, two spaces, one newline at the end."""
    data = manifest.model_dump(mode="json")
    return (json.dumps(data, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()


def version(data: bytes) -> str:
    """The policy's version: the first 12 hex digits of its manifest's SHA-256."""
    return hashlib.sha256(data).hexdigest()[:12]


def parse_manifest(place: object, data: bytes) -> Manifest:
    """A manifest from its bytes.

    Raises:
        InputError: not JSON, a repeated key, or a field that is missing, unknown or wrong.
    """
    try:
        return Manifest.model_validate(json.loads(data, object_pairs_hook=_unique))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{place}: {key}", first["msg"].lower(), "export the policy again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(place, "is not the JSON of a bundle", "fetch it again") from error


def check_contract(place: object, manifest: Manifest, contract: Contract) -> None:
    """Refuses a manifest whose contract, observation or action differs in anything.

    Raises:
        InputError: naming the first field that differs.
    """
    wanted = specification(contract)
    given = manifest.model_dump(mode="json", include=set(wanted))
    if given["contract"]["sha256"] != contract.sha256:
        raise InputError(
            place,
            f"is for contract {given['contract']['name']} {given['contract']['sha256'][:12]},"
            f" the robot runs {contract.name} {contract.sha256[:12]}",
            "train for this contract",
        )
    for field, value in wanted.items():
        if given[field] != value:
            raise InputError(
                f"{place}: {field}", "contradicts the contract", "export the policy again"
            )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key stands twice")
    return data
