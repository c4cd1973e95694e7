"""onnxruntime sessions on the device that was asked for, and on no other."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.build_cache import EngineKey
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.cuda import gpu
from vla_rl_nodes.policy.graph import session_options
from vla_rl_nodes.policy.tensorrt_graph import Precision

Device = Literal["cpu", "cuda", "tensorrt"]
NAMES: dict[Device, str] = {
    "cpu": "onnxruntime-cpu",
    "cuda": "onnxruntime-cuda",
    "tensorrt": "onnxruntime-tensorrt",
}
_PROVIDERS: dict[Device, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_REMEDY = "install onnxruntime-gpu in place of onnxruntime, with the CUDA libraries it names"


@dataclass(frozen=True)
class Built:
    """What the TensorRT provider was given, or is given, to build from.

    Attributes:
        model: the graph in the form for TensorRT.
        folder: of its engines; a session of another graph or largest batch would build anew.
        candidates: the largest batch.
    """

    model: bytes
    folder: Path
    candidates: int


def open_session(
    place: Path,
    model: bytes,
    device: Device,
    threads: int,
    *,
    profile: Mapping[str, tuple[int, ...]],
    built: Built | None,
) -> Any:
    """A session whose first provider is the one that was asked for.

    onnxruntime goes on with the CPU when a GPU's provider cannot be loaded; a policy that is
    quietly ten times slower than planned must not drive a robot, so that is refused here.

    Args:
        place: how errors name the graph.
        model: its bytes.
        device: ``cpu``, ``cuda`` or ``tensorrt``.
        threads: of the CPU.
        profile: for TensorRT, the shape of every input without its batch axis.
        built: for TensorRT, what it takes in the model's place.

    Raises:
        InputError: the graph cannot be loaded, or the provider is not there.
    """
    options = session_options(threads)
    require_provider(device)
    if device != "cpu":
        _load_libraries()
    try:
        # Without enable_fallback=0 a failure would be printed, and the CPU taken instead.
        session = onnxruntime.InferenceSession(
            model if built is None else built.model,
            options,
            providers=_chain(device, profile, built),
            enable_fallback=0,
        )
    except Exception as error:  # onnxruntime raises many unrelated types here
        if device == "cpu":
            raise InputError(
                place, "is no model that onnxruntime loads", "export it again"
            ) from error
        raise InputError(
            NAMES[device], f"cannot load {place.name} ({_first_line(error)})", _REMEDY
        ) from error
    refuse_other_provider(session.get_providers(), device)
    return session


def provider_key(bundle: Bundle, precision: Precision, file: str = MODEL) -> EngineKey:
    """What an engine of the TensorRT provider, for this machine's GPU, is found by.

    Raises:
        InputError: onnxruntime has no such provider, or no GPU is there.
    """
    require_provider("tensorrt")
    device = gpu()
    try:
        tensorrt = importlib.metadata.version("tensorrt")
    except importlib.metadata.PackageNotFoundError:  # the system's own libraries
        tensorrt = "of the system"
    return EngineKey(
        engine=NAMES["tensorrt"],
        model_sha256=hashlib.sha256(bundle.files[file]).hexdigest(),
        gpu=device.name,
        compute_capability=device.compute_capability,
        versions=f"onnxruntime {onnxruntime.__version__}, tensorrt {tensorrt}",
        precision=precision,
    )


def require_provider(device: Device) -> None:
    """Raises an InputError where this onnxruntime was not made for the device."""
    wanted = _PROVIDERS[device]
    if wanted not in onnxruntime.get_available_providers():
        raise InputError(NAMES[device], f"onnxruntime has no {wanted}", _REMEDY)


def refuse_other_provider(providers: list[str], device: Device) -> None:
    """Raises an InputError where a session's first provider is not the device's."""
    if not providers or providers[0] != _PROVIDERS[device]:
        taken = providers[0] if providers else "nothing"
        raise InputError(NAMES[device], f"onnxruntime fell back to {taken}", _REMEDY)


def _chain(
    device: Device,
    profile: Mapping[str, tuple[int, ...]],
    built: Built | None,
) -> list[tuple[str, dict[str, str]]]:
    """The provider and those that take the operators which it has not."""
    cpu: tuple[str, dict[str, str]] = (_PROVIDERS["cpu"], {})
    # TF32 keeps 10 bits of a mantissa: not the same answers as on the CPU.
    cuda = (_PROVIDERS["cuda"], {"device_id": "0", "use_tf32": "0"})
    if device == "cpu":
        return [cpu]
    if device == "cuda":
        return [cuda, cpu]
    if built is None:
        raise InputError(
            NAMES[device], "has no engine that was built", "build it: vla-rl policy build"
        )
    return [(_PROVIDERS["tensorrt"], _tensorrt_options(profile, built)), cuda, cpu]


def _tensorrt_options(profile: Mapping[str, tuple[int, ...]], built: Built) -> dict[str, str]:
    """Options of the TensorRT provider (onnxruntime's manual, TensorRT Execution Provider).

    Precision is in the graph's own types: TensorRT 11 has no switch for it any more.
    """

    def shapes(batch: int) -> str:
        return ",".join(
            f"{name}:{'x'.join(str(n) for n in (batch, *shape))}"
            for name, shape in profile.items()
        )

    return {
        "device_id": "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(built.folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(built.folder),
        "trt_profile_min_shapes": shapes(1),
        "trt_profile_opt_shapes": shapes(1),
        "trt_profile_max_shapes": shapes(built.candidates),
    }


def _load_libraries() -> None:
    """Loads the libraries that pip has installed, which the loader would not find by itself."""
    onnxruntime.preload_dlls()
    with contextlib.suppress(ImportError, OSError):  # or the system has them
        importlib.import_module("tensorrt")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
