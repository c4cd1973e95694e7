"""What the graph is measured against: the same weights in torch, and nothing but those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper

from vla_rl_nodes.bench.policy.run import run
from vla_rl_nodes.bench.policy.subjects import REFERENCE, TEACHER, TORCH, TORCH_TEACHER
from vla_rl_nodes.chunking.strategies.flow_sampling import continued_flow
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export_flow import export_flow
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.learner.recipe import Recipe
from vla_rl_nodes.learner.torch_engine import TorchEngine, TorchTeacher, torch_threads
from vla_rl_nodes.learner.torch_rebuild import RECIPE, rebuilt_policy, rebuilt_teacher
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.checked_engine import trial
from vla_rl_nodes.policy.flow import FIELD, VELOCITY, FlowField
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import largest_difference

from .small_policy import bundle_of, lively, random_policy

pytestmark = pytest.mark.learner

STEPS = 6


@pytest.fixture(scope="module")
def policy(contract: Contract, small_recipe: Recipe) -> Policy:
    return random_policy(contract, small_recipe.network)


@pytest.fixture(scope="module")
def teacher(policy: Policy, contract: Contract, small_recipe: Recipe) -> ChunkField:
    field = random_policy(contract, small_recipe.network, seed=2).field
    lively(field, 5)
    return field


@pytest.fixture(scope="module")
def bundle(
    policy: Policy,
    teacher: ChunkField,
    contract: Contract,
    small_recipe: Recipe,
    key_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    files, flow = export_flow(policy, teacher, contract, STEPS)
    recipe = yaml.safe_dump(small_recipe.model_dump(mode="json")).encode()
    path = tmp_path_factory.mktemp("engines") / "bundle"
    return bundle_of(path, policy, contract, key_path, {**files, RECIPE: recipe}, flow=flow)


def test_every_weight_comes_back_from_the_graph(bundle: Bundle, policy: Policy) -> None:
    wanted, found = policy.state_dict(), rebuilt_policy(bundle).state_dict()
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_every_weight_of_the_teacher_comes_back(bundle: Bundle, teacher: ChunkField) -> None:
    wanted, found = teacher.state_dict(), rebuilt_teacher(bundle).state_dict()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_torch_gives_the_answers_of_the_graph(bundle: Bundle) -> None:
    engine = TorchEngine(bundle)
    assert largest_difference(OnnxEngine(bundle), engine, seed=9) < 1e-4
    samples, prefix = trial(bundle, np.random.default_rng(1))
    noise = np.random.default_rng(2).standard_normal((3, *prefix.shape), np.float32)
    chunks = engine.infer_many(samples, prefix, 4, noise).chunks
    assert (chunks[:, :4] == prefix[:4]).all() and np.ptp(chunks[:, 4:], axis=0).max() > 1e-3
    with pytest.raises(InputError, match="delay: 7 is outside 0 to 6"):
        engine.infer(samples, prefix, 7, noise[0])


def test_the_teacher_gives_the_chunks_of_its_graphs(bundle: Bundle) -> None:
    teacher, flow = TorchTeacher(bundle), FlowField(bundle)
    assert teacher.steps == STEPS and teacher.largest_difference < 1e-4
    generator = np.random.default_rng(4)
    for delay in (0, 3, 6):
        samples, prefix = trial(bundle, generator)
        noise = generator.standard_normal(prefix.shape, np.float32)
        chunk = teacher.infer(samples, prefix, delay, noise)
        assert np.array_equal(chunk[:delay], prefix[:delay])
        wanted = continued_flow(flow, samples, prefix, delay, noise)
        assert np.allclose(chunk, wanted, rtol=0, atol=1e-5)


def changed(bundle: Bundle, name: str, change: Callable[[onnx.GraphProto], None]) -> Bundle:
    """The bundle with one of its graphs changed after it was verified."""
    proto = onnx.load_model_from_string(bundle.files[name])
    change(proto.graph)
    return replace(bundle, files={**bundle.files, name: proto.SerializeToString()})


def _weight(graph: onnx.GraphProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in graph.initializer if tensor.name == name)


def test_a_weight_of_another_name_is_missed(bundle: Bundle) -> None:
    """As the exporter names what it had to transpose."""

    def rename(graph: onnx.GraphProto) -> None:
        old, new = "policy.field.enter.weight", "onnx::MatMul_7"
        _weight(graph, old).name = new
        for node in graph.node:
            node.input[:] = [new if name == old else name for name in node.input]

    other = changed(bundle, MODEL, rename)
    OnnxEngine(other)  # it is a good graph
    with pytest.raises(InputError, match=r"has no weight 'policy\.field\.enter\.weight'"):
        rebuilt_policy(other)


def test_a_graph_that_computes_something_else_is_refused(bundle: Bundle) -> None:
    """Its weights are all there, but the noise is not used as it is."""

    def turn(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            node.input[:] = ["turned" if name == "noise" else name for name in node.input]
        nodes = [onnx.helper.make_node("Neg", ["noise"], ["turned"]), *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)

    other = changed(bundle, MODEL, turn)
    rebuilt_policy(other)
    with pytest.raises(InputError, match=r"policy\.onnx: gives other actions than torch-eager"):
        TorchEngine(other)


def test_a_teacher_that_computes_something_else_is_refused(bundle: Bundle) -> None:
    def double(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            node.output[:] = ["half" if name == "velocity" else name for name in node.output]
            node.input[:] = ["half" if name == "velocity" else name for name in node.input]
        two = numpy_helper.from_array(np.array(2.0, np.float32), "two")
        graph.initializer.append(two)
        graph.node.append(onnx.helper.make_node("Mul", ["half", "two"], ["velocity"]))

    other = changed(changed(bundle, VELOCITY, double), FIELD, double)
    with pytest.raises(InputError, match=r"velocity\.onnx: gives other actions than teacher-"):
        TorchTeacher(other)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (None, r"recipe\.yaml: is not in the bundle"),
        (b"name: other\n", "is no recipe of this package"),
        (b"{", "is no recipe of this package"),
    ],
)
def test_a_bundle_of_another_making_is_refused(
    bundle: Bundle, recipe: bytes | None, said: str
) -> None:
    files = {name: data for name, data in bundle.files.items() if name != RECIPE}
    if recipe is not None:
        files[RECIPE] = recipe
    with pytest.raises(InputError, match=said):
        TorchEngine(replace(bundle, files=files))


def test_sizes_that_do_not_fit_the_graph_are_refused(bundle: Bundle) -> None:
    recipe = yaml.safe_load(bundle.files[RECIPE])
    recipe["network"]["width"] += 1
    files = {**bundle.files, RECIPE: yaml.safe_dump(recipe).encode()}
    with pytest.raises(InputError, match="has another shape of"):
        rebuilt_policy(replace(bundle, files=files))


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
@pytest.mark.parametrize("how", TORCH[1:])
def test_a_gpu_that_is_not_there_is_told(bundle: Bundle, how: Any) -> None:
    with pytest.raises(InputError, match=f"{how}: torch sees no GPU"):
        TorchEngine(bundle, how)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("how", TORCH[1:])
def test_a_gpu_gives_the_answers_of_the_graph(bundle: Bundle, how: Any) -> None:
    engine = TorchEngine(bundle, how, candidates=3)
    assert largest_difference(OnnxEngine(bundle), engine, seed=5) < 1e-2


def test_torch_gets_its_threads_back() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_teacher_and_torch_are_measured_beside_the_student(bundle: Bundle) -> None:
    result = run(bundle, seed=3, calls=200)
    assert {REFERENCE, TORCH[0]} <= result["engines"].keys()
    assert {TEACHER, TORCH_TEACHER} <= result["others"].keys()
    assert result["engines"][TORCH[0]]["largest_difference"] < 1e-4
    times = {**result["engines"], **result["others"]}
    for key, slow in (
        ("onnxruntime_vs_torch", TORCH[0]),
        ("student_vs_teacher", TEACHER),
        ("deployed_vs_torch_teacher", TORCH_TEACHER),
    ):
        quotient = times[slow]["p50_ms"] / times[REFERENCE]["p50_ms"]
        assert result[key]["ratio"] == pytest.approx(quotient)
    same, other = result["student_vs_teacher"], result["deployed_vs_torch_teacher"]
    assert same["same_engine"] is True and other["same_engine"] is False
    assert same["teacher_steps"] == other["teacher_steps"] == STEPS
