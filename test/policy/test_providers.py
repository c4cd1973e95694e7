"""A GPU that is asked for is a GPU that is used, or an error."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from student_graphs import example, student, student_bundle

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import largest_difference
from vla_rl_nodes.policy.providers import (
    Device,
    provider_key,
    refuse_other_provider,
    require_provider,
)

CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.mark.skipif(CUDA, reason="this onnxruntime has CUDA")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_missing_provider_is_refused_with_what_to_install(
    tmp_path: Path, contract: Contract, key_path: Path, device: Device
) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path)
    with pytest.raises(InputError) as caught:
        OnnxEngine(bundle, device=device)
    assert str(caught.value).startswith(f"onnxruntime-{device}: onnxruntime has no ")
    assert "install onnxruntime-gpu" in str(caught.value)
    with pytest.raises(InputError, match="onnxruntime has no"):
        require_provider(device)


@pytest.mark.skipif(CUDA, reason="this onnxruntime has CUDA")
def test_a_built_engine_needs_the_provider_too(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path)
    with pytest.raises(InputError, match="install onnxruntime-gpu"):
        provider_key(bundle, "fp32")


def test_a_session_that_fell_back_is_refused(contract: Contract) -> None:
    """onnxruntime opens such a session without an error, as this one shows."""
    with pytest.warns(UserWarning, match="not in available provider"):
        session = onnxruntime.InferenceSession(
            student(contract), providers=["NoSuchExecutionProvider", "CPUExecutionProvider"]
        )
    providers = session.get_providers()
    assert providers == ["CPUExecutionProvider"]
    refuse_other_provider(providers, "cpu")
    for device in ("cuda", "tensorrt"):
        with pytest.raises(InputError, match="fell back to CPUExecutionProvider"):
            refuse_other_provider(providers, device)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="fell back to nothing"):
        refuse_other_provider([], "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="this onnxruntime has no CUDA")
def test_cuda_gives_the_answers_of_the_cpu(
    tmp_path: Path, contract: Contract, key_path: Path
) -> None:
    bundle = student_bundle(tmp_path / "bundle", contract, key_path, forecast=1.0)
    engine = OnnxEngine(bundle, device="cuda", candidates=4)
    assert engine.name == "onnxruntime-cuda"
    assert largest_difference(OnnxEngine(bundle, candidates=4), engine) < 1e-5
    seen, prefix, noise = example(contract, 1, 3)
    assert (engine.infer_many(seen, prefix, 5, noise).chunks[:, :5] == prefix[:5]).all()
