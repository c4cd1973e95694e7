"""The CUDA calls: errors become one line, and on a GPU memory and recordings do what they say."""

from __future__ import annotations

import enum
import importlib.util

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.cuda import Buffer, Recording, call, gpu, new_stream, runtime

BINDINGS = importlib.util.find_spec("cuda") is not None


def has_gpu() -> bool:
    try:
        gpu()
    except InputError:
        return False
    return True


needs_gpu = pytest.mark.skipif(not has_gpu(), reason="no CUDA GPU, or no cuda-bindings")


class Error(enum.IntEnum):
    """As cudaError_t."""

    cudaSuccess = 0  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815


@pytest.mark.parametrize(
    ("result", "value"), [((Error.cudaSuccess,), None), ((Error.cudaSuccess, 7), 7)]
)
def test_the_value_of_a_call_comes_through(result: tuple[object, ...], value: object) -> None:
    assert call(result) == value


@pytest.mark.parametrize("rest", [(), (None,)])
def test_an_error_is_named(rest: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match=r"CUDA: cudaErrorMemoryAllocation \(2\); check"):
        call((Error.cudaErrorMemoryAllocation, *rest))


@pytest.mark.skipif(BINDINGS, reason="cuda-bindings are installed")
def test_missing_bindings_are_refused_with_what_to_install() -> None:
    with pytest.raises(InputError, match="CUDA: cuda-bindings is not installed; pip install"):
        runtime()
    with pytest.raises(InputError, match="pip install cuda-bindings"):
        gpu()


@pytest.mark.skipif(not BINDINGS or has_gpu(), reason="no cuda-bindings, or a GPU")
def test_no_gpu_is_told_in_one_line() -> None:
    for ask in (gpu, new_stream, lambda: Buffer((2, 3), np.float32)):
        with pytest.raises(InputError, match=r"^CUDA: ") as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_what_goes_up_comes_down(dtype: type) -> None:
    stream = new_stream()
    buffer = Buffer((3, 4), dtype)
    wanted = np.arange(12).reshape(3, 4).astype(dtype)
    buffer.array[...] = wanted
    buffer.upload(stream)
    call(runtime().cudaStreamSynchronize(stream))
    buffer.array[...] = 0
    buffer.download(stream)
    call(runtime().cudaStreamSynchronize(stream))
    assert np.array_equal(buffer.array, wanted)
    buffer.close()


@pytest.mark.gpu
@needs_gpu
def test_a_recording_sees_the_newest_input() -> None:
    stream = new_stream()
    source, target = Buffer((5,), np.float32), Buffer((5,), np.float32)
    cuda = runtime()
    there = cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice

    def work() -> None:
        source.upload(stream)
        call(cuda.cudaMemcpyAsync(target.address, source.address, 20, there, stream))
        target.download(stream)

    recording = Recording(stream, work)
    for seed in range(3):
        source.array[...] = np.random.default_rng(seed).standard_normal(5)
        recording.run()
        assert np.array_equal(target.array, source.array)
    recording.close()


@pytest.mark.gpu
@needs_gpu
def test_work_that_cannot_be_recorded_is_refused() -> None:
    stream = new_stream()

    def waits() -> None:  # a recording only takes notes; it cannot wait for anything
        call(runtime().cudaStreamSynchronize(stream))

    with pytest.raises(InputError, match="CUDA: cudaErrorStreamCapture"):
        Recording(stream, waits)
