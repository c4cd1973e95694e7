"""Policies with random weights, and bundles of them, for tests of what is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.export import export
from vla_rl_nodes.learner.policy import Policy, Scales
from vla_rl_nodes.learner.recipe import Network
from vla_rl_nodes.policy.bundle import MODEL, Bundle, load_bundle, write_bundle
from vla_rl_nodes.policy.manifest import Training
from vla_rl_nodes.policy.signing import load_key


def lively(module: nn.Module, seed: int) -> None:
    """Random weights everywhere: layers that start as zero would hide mistakes."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=1.5 * parameter.shape[-1] ** -0.5)
    module.requires_grad_(False).eval()


def random_policy(contract: Contract, network: Network, seed: int = 1) -> Policy:
    """A policy whose actions reach and cross the contract's bounds."""
    torch.manual_seed(seed)
    shape = (50, contract.action.chunk_length, len(contract.action.names))
    low, high = torch.tensor(contract.action.minimum), torch.tensor(contract.action.maximum)
    chunk = (low + torch.rand(shape) * (high - low)).to(torch.float32)
    proprio = sum(s.shape[0] for s in contract.streams if s.kind == "vector")
    policy = Policy(contract, network, Scales(torch.randn(50, proprio), chunk, contract))
    lively(policy.field, seed)
    return policy.requires_grad_(False).eval()


def observation(contract: Contract, seed: int) -> dict[str, NDArray[Any]]:
    """Noise in the shape of one observation."""
    rng = np.random.default_rng(seed)
    return {
        s.key: rng.integers(0, 256, s.shape, np.uint8)
        if s.kind == "image"
        else rng.standard_normal(s.shape, np.float32)
        for s in contract.streams
    }


def as_batch(seen: dict[str, NDArray[Any]]) -> dict[str, Tensor]:
    """One observation as tensors [1, ...]."""
    return {key: torch.from_numpy(value)[None] for key, value in seen.items()}


def random_chunks(contract: Contract, count: int, seed: int) -> Tensor:
    """Chunks [count, H, A] inside the contract's bounds, in its units."""
    action = contract.action
    shape = (count, action.chunk_length, len(action.names))
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(action.minimum, action.maximum, shape)).to(torch.float32)


def bundle_of(
    path: Path, policy: Policy, contract: Contract, key: Path, files: dict[str, bytes], **more: Any
) -> Bundle:
    """Writes, signs, verifies and loads a bundle of the policy and further files."""
    training = Training(
        seed=0, data_sha256="0" * 64, episodes=1, windows=1, parameters=1, metrics={}
    )
    write_bundle(
        path,
        contract,
        {MODEL: export(policy, contract), **files},
        recipe="test",
        training=training,
        created_by={"test": "1"},
        key=load_key(key),
        **more,
    )
    return load_bundle(path, contract, [key.with_suffix(".pub")])
