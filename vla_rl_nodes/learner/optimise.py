"""The one optimisation loop that every stage of training uses, and what makes it repeatable."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.recipe import Stage

# (stage, steps done, steps in all, mean loss since the last report)
Progress = Callable[[str, int, int, float], None]

_WARM_UP = 100  # steps of linear warm-up, or a tenth of the stage where that is shorter
_LARGEST_GRADIENT = 1.0
_REPORT_EVERY = 50


def silent(stage: str, done: int, steps: int, loss: float) -> None:
    """A progress report that says nothing."""


def average_into(average: nn.Module, current: nn.Module, step: int, decay: float) -> None:
    """Moves ``average`` towards ``current``; early steps count more, to start unbiased."""
    keep = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for old, new in zip(average.parameters(), current.parameters(), strict=True):
            old.lerp_(new, 1 - keep)


def fit(
    name: str,
    module: nn.Module,
    loss: Callable[[], Tensor],
    stage: Stage,
    progress: Progress = silent,
) -> nn.Module:
    """Minimises ``loss`` over ``module`` in place.

    Args:
        name: what progress reports call the stage.
        module: the weights.
        loss: draws a batch and returns its loss, a scalar.
        stage: the numbers.
        progress: called every 50 steps and at the end.

    Returns:
        The moving average of the weights, frozen: what is used afterwards.

    Raises:
        InputError: the loss is no longer finite.
    """
    average = copy.deepcopy(module).requires_grad_(False).eval()
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay
    )
    warm_up = max(1, min(_WARM_UP, stage.steps // 10))

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / stage.steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    module.train()
    total, count = 0.0, 0
    for step in range(stage.steps):
        value = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        schedule.step()
        average_into(average, module, step, stage.average)
        total, count = total + value.item(), count + 1
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == stage.steps:
            if not math.isfinite(total):
                raise InputError(
                    name, f"the loss is not finite at step {step + 1}", "lower its learning_rate"
                )
            progress(name, step + 1, stage.steps, total / count)
            total, count = 0.0, 0
    module.eval()
    return average


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Fixed seed, thread number and algorithms; the process' own settings come back after."""
    deterministic, before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            torch.use_deterministic_algorithms(True)
            # The order of a sum, and so its last bits, depends on the number of threads.
            torch.set_num_threads(threads)
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(before)
