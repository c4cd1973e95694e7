"""The plane's trained networks as graphs, compared with torch, in signed bundles."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from torch import Tensor

from vla_rl_nodes.chunking.models import WEAK
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export import export, largest_difference
from vla_rl_nodes.learner.export_flow import export_flow
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.plane_policy import ImitationPolicy, PlanePolicy
from vla_rl_nodes.learner.plane_recipe import PlaneRecipe
from vla_rl_nodes.learner.policy import Scales
from vla_rl_nodes.learner.torch_rebuild import RECIPE
from vla_rl_nodes.policy.bundle import MODEL, write_bundle
from vla_rl_nodes.policy.manifest import Flow, Training

STUDENT, CONTROL = "student", "bc"
PUBLIC_KEY = "key.pub"


@dataclass(frozen=True)
class PlaneNetworks:
    """What a training of the plane's recipe gives; all fields are of one size.

    Attributes:
        scales: normalisation that all were trained with.
        teacher: velocity of the flow.
        student: one step of it.
        weak: the student at an early step.
        control: plain imitation.
    """

    scales: Scales
    teacher: ChunkField
    student: ChunkField
    weak: ChunkField
    control: ChunkField


@dataclass(frozen=True)
class Sample:
    """Held-out rows that the graphs are compared with torch on.

    Attributes:
        state: [N, components].
        chunk: in action units, [N, H, A].
        delay: int64 [N].
        noise: standard normal [N, H, A].
    """

    state: Tensor
    chunk: Tensor
    delay: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Exported:
    """The files of both bundles, and what the student's manifest says of its teacher."""

    student: dict[str, bytes]
    control: dict[str, bytes]
    flow: Flow
    differences: dict[str, float]  # of the graphs from torch, in action units


def export_plane(
    networks: PlaneNetworks, sample: Sample, contract: Contract, recipe: PlaneRecipe
) -> Exported:
    """Both bundles' graphs, compared with torch.

    Raises:
        InputError: a graph differs from torch by more than rounding.
    """
    differences = {}

    def graph(name: str, kind: type[PlanePolicy], field: ChunkField) -> bytes:
        policy = _policy(kind, field, networks, contract, recipe)
        model = export(policy, contract)
        (key,) = policy.vectors
        differences[f"{name}_export_difference"] = largest_difference(
            model, policy, {key: sample.state}, sample.chunk, sample.delay, sample.noise
        )
        return model

    policy = _policy(PlanePolicy, networks.student, networks, contract, recipe)
    teacher, flow = export_flow(policy, networks.teacher, contract, recipe.flow_steps)
    student = {
        MODEL: graph("student", PlanePolicy, networks.student),
        WEAK: graph("weak", PlanePolicy, networks.weak),
        **teacher,
    }
    control = {MODEL: graph("imitation", ImitationPolicy, networks.control)}
    return Exported(student, control, flow, differences)


def _policy(
    kind: type[PlanePolicy],
    field: ChunkField,
    networks: PlaneNetworks,
    contract: Contract,
    recipe: PlaneRecipe,
) -> PlanePolicy:
    policy = kind(contract, recipe.network, networks.scales)
    policy.field = field
    policy.requires_grad_(False).eval()
    return policy


def write_plane(
    folder: Path,
    exported: Exported,
    contract: Contract,
    recipe: PlaneRecipe,
    training: Training,
) -> dict[str, str]:
    """Writes ``student``, ``bc`` and the public half of a key that is made here and forgotten.

    Args:
        folder: appears whole or not at all.
        exported: the files.
        contract: what the policies were trained for.
        recipe: how.
        training: what both manifests say of it.

    Returns:
        The versions of both bundles, by name.

    Raises:
        InputError: the folder cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            versions = {
                name: write_bundle(
                    draft / name,
                    contract,
                    {**files, RECIPE: text},
                    recipe=made_by,
                    training=training,
                    created_by={"torch": torch.__version__, "onnx": onnx.__version__},
                    key=key,
                    flow=flow,
                )
                for name, files, made_by, flow in (
                    (STUDENT, exported.student, recipe.name, exported.flow),
                    (CONTROL, exported.control, recipe.control, None),
                )
            }
            public = key.public_key().public_bytes_raw().hex()
            (draft / PUBLIC_KEY).write_text(f"{public}\n", encoding="ascii")
            draft.chmod(0o755)  # mkdtemp makes it private
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(folder, f"cannot be written ({reason})", "check the path") from error
    return versions
