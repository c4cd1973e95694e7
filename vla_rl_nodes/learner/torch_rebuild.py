"""A bundle's networks in torch again, from the weights in its graphs.

A bundle holds no other copy of the weights, and a graph names every one of them as the module
does that it was exported from.
"""

from __future__ import annotations

import onnx
import torch
import yaml
from onnx import numpy_helper
from pydantic import ValidationError
from torch import nn

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.plane_policy import PlanePolicy
from vla_rl_nodes.learner.plane_recipe import PlaneRecipe
from vla_rl_nodes.learner.policy import Policy, Scales
from vla_rl_nodes.learner.recipe import Recipe
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.flow import VELOCITY

RECIPE = "recipe.yaml"
# A graph without what its policy does not use: the plane's takes proprioception as it is.
_UNUSED = ("scales.proprio_mean", "scales.proprio_spread")


def rebuilt_policy(bundle: Bundle) -> Policy:
    """The student in evaluation mode, on the CPU.

    Raises:
        InputError: the bundle's recipe cannot be read, or its graph was not exported from this
            package's networks with that recipe.
    """
    policy = _blank(bundle)
    _load(policy, bundle, MODEL, "policy.")
    policy.requires_grad_(False).eval()
    return policy


def rebuilt_teacher(bundle: Bundle) -> ChunkField:
    """The multi-step teacher's field in evaluation mode, on the CPU.

    Raises:
        InputError: as :func:`rebuilt_policy`; or the bundle holds no teacher.
    """
    if VELOCITY not in bundle.files or bundle.manifest.flow is None:
        raise InputError(bundle.path, "holds no multi-step teacher", "export one with the policy")
    field = _blank(bundle).field
    _load(field, bundle, VELOCITY, "field.")
    field.requires_grad_(False).eval()
    return field


def _blank(bundle: Bundle) -> Policy:
    """A policy of the recipe's sizes, whose weights are still to come."""
    place = bundle.path / RECIPE
    if RECIPE not in bundle.files:
        raise InputError(place, "is not in the bundle", "train the policy with this package")
    contract = bundle.contract
    vectors = sum(s.shape[0] for s in contract.streams if s.kind == "vector")
    chunk = torch.zeros(2, contract.action.chunk_length, len(contract.action.names))
    scales = Scales(torch.zeros(2, vectors), chunk, contract)
    try:
        recipe = yaml.safe_load(bundle.files[RECIPE])
        if contract.action.kind == "plane_delta":
            network = PlaneRecipe.model_validate(recipe).network
            return PlanePolicy(contract, network, scales)
        return Policy(contract, Recipe.model_validate(recipe).network, scales)
    except (ValidationError, yaml.YAMLError) as error:
        raise InputError(place, "is no recipe of this package", "train it again") from error


def _load(module: nn.Module, bundle: Bundle, file: str, prefix: str) -> None:
    """Takes a module's weights from the initialisers of the same names in a graph.

    The exporter keeps the names of weights that go into Gemm, Conv and plain arithmetic as they
    are; one that it had to transpose, for a MatMul, would have another name and be missing here.
    """
    place = bundle.path / file
    graph = onnx.load_model_from_string(bundle.files[file]).graph
    found = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:  # of equal weights the exporter keeps one, and names the others by it
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    wanted = module.state_dict()
    for name, blank in wanted.items():
        if prefix + name not in found and name in _UNUSED:
            wanted[name] = torch.full_like(blank, torch.nan)  # so that no use of it goes unseen
            continue
        values = found.get(prefix + name)
        if values is None or tuple(values.shape) != tuple(blank.shape):
            problem = "has no weight" if values is None else "has another shape of"
            raise InputError(
                place, f"{problem} '{prefix}{name}'", "export it with this package's networks"
            )
        wanted[name] = torch.from_numpy(values.copy())
    module.load_state_dict(wanted)
