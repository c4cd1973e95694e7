"""The whole recipe, top to bottom: replay folders in, a signed policy bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.data import Windows, load_dataset
from vla_rl_nodes.learner.evaluate import held_out_metrics
from vla_rl_nodes.learner.export import export, largest_difference
from vla_rl_nodes.learner.export_flow import export_flow
from vla_rl_nodes.learner.networks import parameter_count
from vla_rl_nodes.learner.optimise import Progress, reproducible, silent
from vla_rl_nodes.learner.policy import Policy, Scales
from vla_rl_nodes.learner.recipe import Recipe
from vla_rl_nodes.learner.stages import (
    Imitation,
    frozen_contexts,
    label_scales,
    train_encoder,
    train_student,
    train_teacher,
)
from vla_rl_nodes.policy.bundle import MODEL, write_bundle
from vla_rl_nodes.policy.manifest import Training

RECIPE = "recipe.yaml"
_BATCH = 256


@dataclass(frozen=True)
class Trained:
    """What a training has made."""

    version: str
    bundle: Path
    metrics: dict[str, float]


def train(
    replay_folders: Sequence[Path],
    contract: Contract,
    recipe: Recipe,
    out_bundle: Path,
    seed: int,
    key: Ed25519PrivateKey,
    progress: Progress = silent,
) -> Trained:
    """Trains, exports, checks and signs a policy.

    The same folders, recipe, seed and machine give the same bundle, byte for byte.

    Args:
        replay_folders: one per episode, with the demonstration expert's chunks.
        contract: what the episodes were recorded with and the policy will run on.
        recipe: every hyper-parameter.
        out_bundle: the new bundle's folder.
        seed: of every random number.
        key: signs the bundle.
        progress: see optimise.Progress.

    Raises:
        InputError: the bundle's folder is there already, the replay does not fit the contract or
            the recipe, or the exported graph differs from the trained one.
    """
    if out_bundle.exists() or out_bundle.is_symlink():
        raise InputError(out_bundle, "is there already", "name a new folder")
    data = load_dataset(replay_folders, contract, recipe.auxiliary, recipe.held_out_every)
    max_delay = contract.action.max_delay
    with reproducible(seed, recipe.threads):
        generator = torch.Generator().manual_seed(seed)
        scales = Scales(data.train.proprio, data.train.chunk, contract)
        policy = Policy(contract, recipe.network, scales)
        label = scales.normalised(data.train.chunk)
        imitation = train_encoder(policy.encoder, scales, data.train, recipe, generator, progress)
        policy.encoder = imitation.encoder
        contexts = frozen_contexts(policy.encoder, scales, data.train, recipe, generator)
        teacher = train_teacher(
            policy.field, label, contexts, max_delay, recipe, generator, progress
        )
        policy.field = train_student(
            teacher, label, contexts, max_delay, recipe, generator, progress
        )
        policy.requires_grad_(False).eval()
        metrics = held_out_metrics(policy, data.held_out, max_delay, generator)
        metrics["cube_error_m"] = _cube_error(imitation, data.train, data.held_out)
        model = export(policy, contract)
        flow_files, flow = export_flow(policy, teacher, contract, recipe.flow_steps)
        metrics["export_difference"] = _export_difference(
            model, policy, data.held_out, contract, generator
        )
    training = Training(
        seed=seed,
        data_sha256=data.sha256,
        episodes=data.episodes,
        windows=len(data.train),
        parameters=parameter_count(policy),
        metrics={**metrics, "windows_left_out": data.left_out},
    )
    version = write_bundle(
        out_bundle,
        contract,
        {
            MODEL: model,
            **flow_files,
            RECIPE: yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).encode(),
        },
        recipe=recipe.name,
        training=training,
        created_by={"torch": torch.__version__, "onnx": onnx.__version__},
        key=key,
        flow=flow,
    )
    return Trained(version, out_bundle, metrics)


def _cube_error(imitation: Imitation, train: Windows, held_out: Windows) -> float:
    """Mean distance between the cube and where the encoder sees it, metres."""
    middle, spread = label_scales(train)
    positions = held_out.auxiliary.shape[1] - 2
    errors = []
    with torch.no_grad():
        for rows in torch.split(torch.arange(len(held_out)), _BATCH):
            images = {key: value[rows] for key, value in held_out.images.items()}
            seen = imitation.locate(imitation.encoder(images)) * spread + middle
            errors.append((seen - held_out.auxiliary[rows])[:, :positions].norm(dim=1))
    return float(torch.cat(errors).mean())


def _export_difference(
    model: bytes, policy: Policy, windows: Windows, contract: Contract, generator: torch.Generator
) -> float:
    """Torch against onnxruntime on held-out windows with every delay, action units."""
    rows = torch.randint(0, len(windows), (_BATCH,), generator=generator)
    observation = {key: images[rows] for key, images in windows.images.items()}
    start = 0
    for stream in contract.streams:
        if stream.kind == "vector":
            end = start + stream.shape[0]
            observation[stream.key] = windows.proprio[rows, start:end]
            start = end
    prefix = windows.chunk[rows]
    delay = torch.arange(_BATCH) % (contract.action.max_delay + 1)
    noise = torch.randn(prefix.shape, generator=generator)
    return largest_difference(model, policy, observation, prefix, delay, noise)
