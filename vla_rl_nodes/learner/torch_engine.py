"""A bundle's student and teacher in torch: what the deployed graph is measured against.

Only to be measured; a robot runs the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_rl_nodes.chunking.strategies.flow_sampling import continued_flow
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.flow import prefix_mask, solve
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.learner.torch_rebuild import rebuilt_policy, rebuilt_teacher
from vla_rl_nodes.policy.bundle import MODEL, Bundle
from vla_rl_nodes.policy.checked_engine import CheckedEngine, Floats, Samples, trial
from vla_rl_nodes.policy.flow import VELOCITY, FlowField
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.parity import TOLERANCES, largest_difference

# As a share of an axis' range: the order of float32 sums, not a wrong weight.
LARGEST_ON_CPU = 1e-4

How = Literal["torch-eager-cpu", "torch-eager-cuda", "torch-graph-cuda"]


class TorchEngine(CheckedEngine):
    """The student in torch, behind the same checks as every engine."""

    def __init__(self, bundle: Bundle, how: How = "torch-eager-cpu", candidates: int = 16) -> None:
        """Rebuilds the policy and runs it to warm up.

        Args:
            bundle: a verified bundle.
            how: operator by operator on the CPU or a GPU, or recorded as one CUDA graph.
            candidates: the most noises that a call of infer_many may bring.

        Raises:
            InputError: torch sees no GPU; or as :func:`rebuilt_policy`; or a trial run fails or
                differs from the graph by more than rounding.
        """
        super().__init__(bundle, how, candidates)
        self._device = torch.device("cpu" if how == "torch-eager-cpu" else "cuda")
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise InputError(how, "torch sees no GPU", "install torch for CUDA")
        self._policy = rebuilt_policy(bundle).to(self._device)
        self._recorded = _Recorded(self._policy, self._example()) if "graph" in how else None
        self._warm_up()
        largest = LARGEST_ON_CPU if self._device.type == "cpu" else TOLERANCES["fp16"]
        reference = OnnxEngine(bundle, candidates=candidates)
        _refuse_above(largest, how, bundle, MODEL, largest_difference(reference, self))

    def _run(
        self, samples: Samples, prefix: Floats, delay: int, noise: Floats
    ) -> tuple[Floats, Floats | None]:
        if self._recorded is not None:
            # Only one batch size is recorded, and it is what is measured.
            rows = [
                self._recorded.run(self._arguments(samples, prefix, delay, noise[i : i + 1]))
                for i in range(len(noise))
            ]
            return np.concatenate(rows), None
        arguments = self._arguments(samples, prefix, delay, noise)
        with torch.inference_mode():
            on_device = {key: value.to(self._device) for key, value in arguments.items()}
            return _chunk(self._policy, on_device).cpu().numpy(), None

    def _arguments(
        self, samples: Samples, prefix: Floats, delay: int, noise: Floats
    ) -> dict[str, Tensor]:
        arrays: dict[str, NDArray[Any]] = {**samples, "prefix": prefix}
        count = len(noise)
        tensors = {
            key: torch.from_numpy(value)[None].expand(count, *value.shape)
            for key, value in arrays.items()
        }
        return {
            **tensors,
            "delay": torch.full((count,), delay),
            "noise": torch.from_numpy(noise),
        }

    def _example(self) -> dict[str, Tensor]:
        samples = {key: np.zeros(shape, dtype) for key, shape, dtype, _ in self._streams}
        chunk = np.zeros(self._shape, np.float32)
        return self._arguments(samples, chunk, 0, chunk[None])


class TorchTeacher:
    """The multi-step teacher in torch, operator by operator on the CPU.

    Attributes:
        steps: Euler steps.
        largest_difference: from the graphs' answers, a share of the axis' range.
    """

    NAME = "teacher-torch-eager-cpu"

    def __init__(self, bundle: Bundle) -> None:
        """Rebuilds student, for its encoder and scales, and teacher.

        Raises:
            InputError: see :func:`rebuilt_teacher`; or an answer differs from the graphs' by more
                than rounding.
        """
        self._field = rebuilt_teacher(bundle)
        self._policy = rebuilt_policy(bundle)
        flow = FlowField(bundle)
        self.steps = flow.steps
        generator = np.random.default_rng(0)
        action = bundle.contract.action
        width = (action.maximum - action.minimum).astype(np.float32)
        self.largest_difference = 0.0
        for delay in range(action.max_delay + 1):
            samples, prefix = trial(bundle, generator)
            noise = generator.standard_normal(prefix.shape, np.float32)
            wanted = continued_flow(flow, samples, prefix, delay, noise)
            apart = np.abs(self.infer(samples, prefix, delay, noise) - wanted) / width
            self.largest_difference = max(self.largest_difference, float(apart.max()))
        _refuse_above(LARGEST_ON_CPU, self.NAME, bundle, VELOCITY, self.largest_difference)

    def infer(
        self,
        observation: Mapping[str, NDArray[Any]],
        prefix: Floats,
        delay: int,
        noise: Floats,
    ) -> Floats:
        """A chunk [H, A] by Euler steps that keep the committed rows; arguments as an engine's."""
        policy = self._policy
        streams = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
        committed = torch.from_numpy(prefix)[None]
        delays = torch.tensor([delay])
        with torch.inference_mode():
            context = policy.observed(streams)
            start = policy.scales.normalised(committed)
            path = solve(
                self._field, start, context, torch.from_numpy(noise)[None], delays, self.steps
            )
            mask = prefix_mask(delays, prefix.shape[0])[:, :, None]
            chunk = torch.where(mask, committed, policy.scales.actions(path[-1]))
        answer: Floats = chunk[0].numpy()
        return answer


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Lets torch compute with that many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Recorded:
    """One call of the policy as a CUDA graph, with inputs and output at fixed addresses."""

    def __init__(self, policy: Policy, example: Mapping[str, Tensor]) -> None:
        self._inputs = {key: value.contiguous().cuda() for key, value in example.items()}
        self._graph = torch.cuda.CUDAGraph()
        with torch.inference_mode():
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # libraries allocate in their first calls
                for _ in range(3):
                    _chunk(policy, self._inputs)
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(self._graph):
                self._output = _chunk(policy, self._inputs)

    def run(self, arguments: Mapping[str, Tensor]) -> Floats:
        with torch.inference_mode():
            for key, value in arguments.items():
                self._inputs[key].copy_(value)
            self._graph.replay()
            chunk: Floats = self._output.cpu().numpy()
        return chunk


def _chunk(policy: Policy, arguments: Mapping[str, Tensor]) -> Tensor:
    chunk: Tensor = policy(arguments, arguments["prefix"], arguments["delay"], arguments["noise"])
    return chunk


def _refuse_above(largest: float, name: str, bundle: Bundle, file: str, given: float) -> None:
    if not given <= largest:
        raise InputError(
            bundle.path / file,
            f"gives other actions than {name}, by {given:.1e} of an axis' range",
            "measure a bundle that was trained with this package",
        )
