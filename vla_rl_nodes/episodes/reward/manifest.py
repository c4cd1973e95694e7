"""What a reward model's folder says of itself, and which ONNX ports its kind has.

A folder holds ``model.onnx``, ``manifest.json`` and ``manifest.sig``; ``folder.py`` reads and
writes it. Normalisation is inside the graph. Inputs are named by the contract's stream keys:
uint8 images [1, H, W, 3] and float32 vectors [1, n], whose batch axis may be 1 or of any size.

===================  ==========================================  ===============================
kind                 inputs                                      outputs, float32
===================  ==========================================  ===============================
success_classifier   ``<key>``                                   ``probability`` [1]
steps_to_go          ``<key>``                                   ``steps`` [1], ``spread`` [1]
pairwise_progress    ``before/<key>``, ``after/<key>``           ``critic`` [1], -100..100
rubric5              ``frames/<key>`` [1, T, H, W, 3] (images),  ``scores`` [1, 5], logits of
                     ``task`` int64 [1], a row of ``tasks``      the scores 1 to 5
===================  ==========================================  ===============================
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from vla_rl_nodes.contract.spec import Contract, Finite, Name, Positive, Strict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.graph import Port
from vla_rl_nodes.policy.manifest import Count, FileMark, FileName, Sha256, Text, Version

MODEL = "model.onnx"
Kind = Literal["success_classifier", "steps_to_go", "pairwise_progress", "rubric5"]
Probability = Annotated[float, Field(ge=0, le=1)]

# The fields that each kind must have and every other kind must leave out.
_OWN_FIELDS: dict[Kind, tuple[str, ...]] = {
    "success_classifier": ("threshold", "threshold_rule"),
    "steps_to_go": ("steps_max",),
    "pairwise_progress": (),
    "rubric5": ("frames", "tasks"),
}


class TrainedOn(Strict):
    """How many episodes the model was trained on, and the hash of the labels they had."""

    episodes: Count
    labels_sha256: Sha256


class RewardManifest(Strict):
    """``manifest.json``. It holds no time stamp: the same training gives the same bytes.

    Attributes:
        version: first 12 hex digits of the SHA-256 of ``model.onnx``.
        contract: name of the contract whose observations it judges; ``contract_sha256`` its hash.
        inputs: stream keys, in the contract's order.
        threshold: of a classifier: a probability at or above it is a positive.
        threshold_rule: how that number was chosen, in words.
        steps_max: of steps-to-go: the largest number of control ticks that it was trained on.
        frames: of a rubric: T, how many frames of an episode it takes.
        tasks: of a rubric: the task texts that its ``task`` input counts through.
        figures: what was measured on episodes that it was not trained on.
        stand_in: whether it is a small model that stands in for the published one.
        files: every file but the manifest and its signature, with size and SHA-256.
    """

    reward_model: Literal[1]
    kind: Kind
    name: Name
    version: Version
    contract: Name
    contract_sha256: Sha256
    inputs: Annotated[list[Name], Field(min_length=1, max_length=16)]
    threshold: Probability | None = None
    threshold_rule: Text | None = None
    steps_max: Positive | None = None
    frames: Annotated[int, Field(ge=1, le=256)] | None = None
    tasks: Annotated[list[Text], Field(min_length=1, max_length=256)] | None = None
    trained_on: TrainedOn
    figures: dict[Name, Finite]
    stand_in: bool
    files: Annotated[dict[FileName, FileMark], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _kind_has_its_fields(self) -> Self:
        for kind, fields in _OWN_FIELDS.items():
            for field in fields:
                there = getattr(self, field) is not None
                if there != (kind == self.kind):
                    wrong = "has" if there else "lacks"
                    raise ValueError(f"a {self.kind} {wrong} {field}; export the model again")
        for field, values in (("an input", self.inputs), ("a task", self.tasks or [])):
            if len(set(values)) != len(values):
                raise ValueError(f"{field} stands twice; export the model again")
        if MODEL not in self.files or self.version != self.files[MODEL].sha256[:12]:
            raise ValueError(f"version is not that of {MODEL}; export the model again")
        return self


def manifest_bytes(manifest: RewardManifest) -> bytes:
    """The bytes that are signed: sorted keys, two spaces, one newline at the end."""
    data = manifest.model_dump(mode="json", exclude_none=True)
    return (json.dumps(data, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()


def model_version(model: bytes) -> str:
    """The first 12 hex digits of the SHA-256 of a model's bytes."""
    return hashlib.sha256(model).hexdigest()[:12]


def parse_manifest(place: object, data: bytes) -> RewardManifest:
    """A manifest from its bytes.

    Raises:
        InputError: not JSON, a repeated key, or a field that is missing, unknown or wrong.
    """
    try:
        return RewardManifest.model_validate(json.loads(data, object_pairs_hook=_unique))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        problem, _, remedy = first["msg"].removeprefix("Value error, ").partition("; ")
        raise InputError(
            f"{place}: {key}" if key else place,
            problem[:1].lower() + problem[1:],
            remedy or "export the model again",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(place, "is not the JSON of a reward model", "fetch it again") from error


def check_contract(place: object, manifest: RewardManifest, contract: Contract) -> None:
    """Refuses a model of another contract, or one that takes a stream which it cannot have.

    Raises:
        InputError: naming what does not fit.
    """
    if manifest.contract_sha256 != contract.sha256:
        raise InputError(
            place,
            f"is for contract {manifest.contract} {manifest.contract_sha256[:12]}, the robot runs"
            f" {contract.name} {contract.sha256[:12]}",
            "train for this contract",
        )
    kinds = {stream.key: stream.kind for stream in contract.streams}
    for key in manifest.inputs:
        if key not in kinds:
            raise InputError(place, f"takes '{key}', which is no stream", "export it again")
        if manifest.kind == "rubric5" and kinds[key] != "image":
            raise InputError(place, f"takes frames of '{key}', no camera", "export it again")
    if manifest.inputs != [key for key in kinds if key in manifest.inputs]:
        raise InputError(place, "has its inputs in another order", "use the contract's order")


def ports(manifest: RewardManifest, contract: Contract) -> tuple[dict[str, Port], dict[str, Port]]:
    """The inputs and outputs that ``model.onnx`` must have, without their batch axis."""
    streams = {s.key: Port(s.dtype.name, s.shape) for s in contract.streams}
    taken = {key: streams[key] for key in manifest.inputs}
    number = Port("float32", ())
    if manifest.kind == "success_classifier":
        return taken, {"probability": number}
    if manifest.kind == "steps_to_go":
        return taken, {"steps": number, "spread": number}
    if manifest.kind == "pairwise_progress":
        pairs = {f"{when}/{key}": port for when in ("before", "after")
                 for key, port in taken.items()}  # fmt: skip
        return pairs, {"critic": number}
    frames = {
        f"frames/{key}": Port(port.dtype, (manifest.frames, *port.shape))
        for key, port in taken.items()
    }
    return frames | {"task": Port("int64", ())}, {"scores": Port("float32", (5,))}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key stands twice")
    return data
