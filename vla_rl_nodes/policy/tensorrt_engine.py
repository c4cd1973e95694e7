"""The engine on TensorRT itself: a plan built ahead of time, run as one recorded CUDA graph.

Written against the Python API of TensorRT 10 and 11 (IRuntime, ICudaEngine, IExecutionContext:
set_optimization_profile_async, set_input_shape, set_tensor_address, execute_async_v3). Building
takes minutes and is a command of its own (policy.tensorrt_build); it is never done here.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy import build_cache
from vla_rl_nodes.policy.build_cache import EngineKey
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.checked_engine import CheckedEngine, Floats, Samples
from vla_rl_nodes.policy.cuda import Buffer, Recording, gpu, new_stream, runtime
from vla_rl_nodes.policy.tensorrt_graph import Precision

NAME = "tensorrt"
PLAN = "policy.plan"

OUTPUTS = ("chunk", "outcome")

# The plan's optimisation profiles: kernels are chosen for one chunk, and for several.
PROFILE_ONE, PROFILE_MANY = 0, 1


def module() -> Any:
    """The module tensorrt.

    Raises:
        InputError: it is not installed, or its libraries are not.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise InputError(NAME, "is not installed", "pip install tensorrt cuda-bindings") from error
    return tensorrt


def engine_key(bundle: Bundle, precision: Precision, file: str = MODEL) -> EngineKey:
    """What a plan for a graph of this bundle, on this machine's GPU, is found by.

    Raises:
        InputError: TensorRT or a GPU is not there.
    """
    trt, device = module(), gpu()
    return EngineKey(
        engine=NAME,
        model_sha256=hashlib.sha256(bundle.files[file]).hexdigest(),
        gpu=device.name,
        compute_capability=device.compute_capability,
        versions=f"tensorrt {trt.__version__}",
        precision=precision,
    )


def batch_sizes(candidates: int) -> list[int]:
    """The batches that are prepared: 1, 2, 4, ... and the largest."""
    sizes = [1]
    while sizes[-1] < candidates:
        sizes.append(min(2 * sizes[-1], candidates))
    return sizes


class TensorRtEngine(CheckedEngine):
    """A bundle's student as a TensorRT plan."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: Precision = "fp16",
        candidates: int = 16,
        file: str = MODEL,
        cache: Path | None = None,
        plan: bytes | None = None,
    ) -> None:
        """Loads a plan, checks its inputs and outputs, records it and runs it to warm up.

        Args:
            bundle: a verified bundle.
            precision: of the plan.
            candidates: the most noises that a call of infer_many may bring.
            file: which graph of the bundle.
            cache: folder of built engines; None for this user's.
            plan: a plan that was made in this process; None for the one in the cache.

        Raises:
            InputError: TensorRT or a GPU is not there; no plan was built, or one that must not
                be loaded; or it does not fit the contract, or fails in a trial run.
        """
        super().__init__(bundle, NAME, candidates, file)
        trt = module()
        if plan is None:
            root = build_cache.default_root() if cache is None else cache
            key = engine_key(bundle, precision, file)
            plan = build_cache.load(root, key, candidates).files[PLAN]
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise InputError(NAME, "refuses the plan", build_cache.REMEDY)
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        # The weak policy is an earlier checkpoint, from before there was a forecast perhaps.
        self._forecasts = self._bins is not None and (file == MODEL or "outcome" in names)
        self._dtypes = self._check_interface(trt, names)
        # An input that is the same for all candidates may have a single row.
        self._most = {
            name: int(self._engine.get_tensor_profile_shape(name, PROFILE_MANY)[2][0])
            for name in self._dtypes
            if name not in OUTPUTS
        }
        self._stream = new_stream()
        self._lock = threading.Lock()
        self._lanes = {
            size: _Lane(self._engine, self._stream, size, self._shapes(size), self._dtypes)
            for size in batch_sizes(candidates)
        }
        # Before the engine goes: what was recorded uses its contexts.
        weakref.finalize(self, _close, list(self._lanes.values()), self._stream)
        self._warm_up()

    def _run(
        self, samples: Samples, prefix: Floats, delay: int, noise: Floats
    ) -> tuple[Floats, Floats | None]:
        count = len(noise)
        size = next(size for size in self._lanes if size >= count)
        with self._lock:
            lane = self._lanes[size]
            for name, value in samples.items():
                lane.inputs[name].array[...] = value
            lane.inputs["prefix"].array[...] = prefix
            lane.inputs["delay"].array[...] = delay
            lane.inputs["noise"].array[:count] = noise
            # Rows that nobody asked for are computed with the first noise, and left out.
            lane.inputs["noise"].array[count:] = noise[0]
            lane.run()
            outcome = lane.outputs.get("outcome")
            return (
                lane.outputs["chunk"].array[:count].copy(),
                None if outcome is None else outcome.array[:count].copy(),
            )

    def _shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Shape of every input and output for a batch."""
        return {
            name: (min(batch, self._most.get(name, batch)), *rest)
            for name, rest in self._rests().items()
        }

    def _rests(self) -> dict[str, tuple[int, ...]]:
        """Shape of every input and output without its batch axis."""
        shapes = {key: shape for key, shape, _, _ in self._streams}
        shapes |= {"prefix": self._shape, "delay": (), "noise": self._shape, "chunk": self._shape}
        if self._forecasts:
            assert self._bins is not None
            shapes["outcome"] = (2, self._bins)
        return shapes

    def _check_interface(self, trt: Any, names: list[str]) -> dict[str, np.dtype[Any]]:
        wanted: dict[str, np.dtype[Any]] = {key: dtype for key, _, dtype, _ in self._streams}
        float32 = np.dtype(np.float32)
        wanted |= {"prefix": float32, "delay": np.dtype(np.int64), "noise": float32}
        wanted |= {name: float32 for name in OUTPUTS if name in self._rests()}
        for name in sorted(wanted.keys() ^ set(names)):
            problem = "is missing" if name in wanted else "is unknown"
            raise InputError(self._place, f"the plan's '{name}' {problem}", build_cache.REMEDY)
        rests = self._rests()
        for name, dtype in wanted.items():
            kind = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
            mode = self._engine.get_tensor_mode(name)
            written = mode == trt.TensorIOMode.OUTPUT
            shape = tuple(self._engine.get_tensor_shape(name))
            batched = len(shape) > 0 and shape[0] in (-1, 1) and shape[1:] == rests[name]
            if kind != dtype or written != (name in OUTPUTS) or not batched:
                raise InputError(
                    self._place,
                    f"the plan's '{name}' is {kind}{list(shape)}, not {dtype}{list(rests[name])}",
                    build_cache.REMEDY,
                )
        return wanted


class _Lane:
    """One batch size: its buffers, its context, and the recording of a whole call.

    Copies to the GPU, the network and the copy back are one CUDA graph, so that a call costs one
    launch and one wait.

    Attributes:
        inputs: to write, by input.
        outputs: to read, by output.
    """

    def __init__(
        self,
        engine: Any,
        stream: Any,
        batch: int,
        shapes: dict[str, tuple[int, ...]],
        dtypes: dict[str, np.dtype[Any]],
    ) -> None:
        """Allocates, binds and records.

        Raises:
            InputError: memory is short, or the plan refuses the batch or fails.
        """
        buffers = {name: Buffer(shape, dtypes[name]) for name, shape in shapes.items()}
        self.inputs = {name: buffer for name, buffer in buffers.items() if name not in OUTPUTS}
        self.outputs = {name: buffer for name, buffer in buffers.items() if name in OUTPUTS}
        self._context = engine.create_execution_context()
        if self._context is None:
            raise InputError(NAME, f"has no memory for a batch of {batch}", "ask for fewer")
        profile = PROFILE_ONE if batch == 1 else PROFILE_MANY
        # The graph must not start from what the memory happened to hold: an integer delay.
        for buffer in buffers.values():
            buffer.array[...] = 0
        done = self._context.set_optimization_profile_async(profile, int(stream))
        for name in self.inputs:
            done = done and self._context.set_input_shape(name, shapes[name])
        for name, buffer in buffers.items():
            done = done and self._context.set_tensor_address(name, buffer.address)
        if not done:
            raise InputError(NAME, f"refuses a batch of {batch}", build_cache.REMEDY)
        self._stream = stream
        self._recording = Recording(stream, self._enqueue)

    def run(self) -> None:
        """From the inputs to the outputs.

        Raises:
            InputError: CUDA fails.
        """
        self._recording.run()

    def close(self) -> None:
        """Gives the GPU's memory back."""
        self._recording.close()
        for buffer in (*self.inputs.values(), *self.outputs.values()):
            buffer.close()

    def _enqueue(self) -> None:
        for buffer in self.inputs.values():
            buffer.upload(self._stream)
        if not self._context.execute_async_v3(int(self._stream)):
            raise InputError(NAME, "the plan fails when it is run", build_cache.REMEDY)
        for buffer in self.outputs.values():
            buffer.download(self._stream)


def _close(lanes: list[_Lane], stream: Any) -> None:
    for lane in lanes:
        lane.close()
    runtime().cudaStreamDestroy(stream)
