"""The few calls of the CUDA runtime that an engine needs: memory, one stream, one recorded graph.

Names and signatures are those of cuda.bindings.runtime (cuda-python 12 and 13). Every call gives
a tuple whose first part is the error.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vla_rl_nodes.errors import InputError

_REMEDY = "check the NVIDIA driver with nvidia-smi"


@dataclass(frozen=True)
class Gpu:
    """What an engine is built for."""

    name: str
    compute_capability: str


def runtime() -> Any:
    """The module cuda.bindings.runtime.

    Raises:
        InputError: it is not installed.
    """
    try:
        from cuda.bindings import runtime as module
    except ImportError as error:
        raise InputError(
            "CUDA", "cuda-bindings is not installed", "pip install cuda-bindings"
        ) from error
    return module


def call(result: tuple[Any, ...]) -> Any:
    """The value of a call to the CUDA runtime.

    Raises:
        InputError: it failed.
    """
    error, *values = result
    if int(error) != 0:
        raise InputError("CUDA", f"{error.name} ({int(error)})", _REMEDY)
    return values[0] if values else None


def gpu() -> Gpu:
    """The first GPU that this process may use.

    Raises:
        InputError: there is none, or no driver.
    """
    cuda = runtime()
    if call(cuda.cudaGetDeviceCount()) < 1:
        raise InputError("CUDA", "sees no GPU", _REMEDY)
    properties = call(cuda.cudaGetDeviceProperties(0))
    name = properties.name
    text = name.decode() if isinstance(name, bytes) else str(name)
    return Gpu(text.rstrip("\0"), f"{properties.major}.{properties.minor}")


class Buffer:
    """An array in page-locked host memory, and room for it on the GPU.

    Page-locked memory is what the GPU reads by itself; from ordinary memory the driver would
    copy once more, and wait.

    Attributes:
        array: the host's side.
        address: of the GPU's side.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike) -> None:
        """Allocates both sides.

        Raises:
            InputError: no memory is left.
        """
        self._cuda = runtime()
        kind = np.dtype(dtype)
        self._bytes = max(1, int(np.prod(shape))) * kind.itemsize
        self._host = int(
            call(self._cuda.cudaHostAlloc(self._bytes, self._cuda.cudaHostAllocDefault))
        )
        self.address = int(call(self._cuda.cudaMalloc(self._bytes)))
        memory = (ctypes.c_ubyte * self._bytes).from_address(self._host)
        self.array: NDArray[Any] = np.frombuffer(memoryview(memory), kind).reshape(shape)

    def upload(self, stream: Any) -> None:
        """Host to GPU, in the stream's order."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        call(self._cuda.cudaMemcpyAsync(self.address, self._host, self._bytes, kind, stream))

    def download(self, stream: Any) -> None:
        """GPU to host, in the stream's order."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        call(self._cuda.cudaMemcpyAsync(self._host, self.address, self._bytes, kind, stream))

    def close(self) -> None:
        """Gives the memory back; the array must not be used any more."""
        self._cuda.cudaFree(self.address)
        self._cuda.cudaFreeHost(self._host)


class Recording:
    """Work on a stream, recorded once as a CUDA graph and started by a single call."""

    def __init__(self, stream: Any, enqueue: Callable[[], None]) -> None:
        """Records what ``enqueue`` puts on the stream.

        Args:
            stream: not the default stream.
            enqueue: puts the work on the stream; it is run once eagerly before it is recorded,
                because libraries allocate and load in their first call.

        Raises:
            InputError: the work fails, or cannot be recorded.
        """
        self._cuda, self._stream = runtime(), stream
        enqueue()
        call(self._cuda.cudaStreamSynchronize(stream))
        # Thread-local: what other threads ask of CUDA meanwhile does not spoil the recording.
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        call(self._cuda.cudaStreamBeginCapture(stream, mode))
        try:
            enqueue()
        finally:
            graph = call(self._cuda.cudaStreamEndCapture(stream))
        self._work = call(self._cuda.cudaGraphInstantiate(graph, 0))
        call(self._cuda.cudaGraphDestroy(graph))

    def run(self) -> None:
        """Starts the work and waits for its end; the interpreter is released meanwhile.

        Raises:
            InputError: it failed.
        """
        call(self._cuda.cudaGraphLaunch(self._work, self._stream))
        call(self._cuda.cudaStreamSynchronize(self._stream))

    def close(self) -> None:
        """Forgets the work."""
        self._cuda.cudaGraphExecDestroy(self._work)


def new_stream() -> Any:
    """A stream that does not wait for the default one.

    Raises:
        InputError: there is no GPU.
    """
    cuda = runtime()
    return call(cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking))
