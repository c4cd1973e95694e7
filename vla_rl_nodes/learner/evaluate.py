"""Offline figures on held-out episodes; success itself is only measured in closed loop."""

from __future__ import annotations

import torch
from torch import Tensor

from vla_rl_nodes.learner.consistency import one_step
from vla_rl_nodes.learner.data import Windows
from vla_rl_nodes.learner.flow import prefix_mask
from vla_rl_nodes.learner.policy import Policy

_BATCH = 256


def contexts(policy: Policy, windows: Windows, *, blind: bool = False) -> Tensor:
    """The policy's context of every window, [N, C]; with ``blind`` every image is black."""
    parts = []
    with torch.no_grad():
        for rows in torch.split(torch.arange(len(windows)), _BATCH):
            images = {key: value[rows] for key, value in windows.images.items()}
            if blind:
                images = {key: torch.zeros_like(value) for key, value in images.items()}
            parts.append(policy.context(images, windows.proprio[rows]))
    return torch.cat(parts)


def postfix_error(chunk: Tensor, label: Tensor, delay: Tensor) -> float:
    """Mean absolute difference of chunks [N, H, A] over the rows that are not committed."""
    open_rows = ~prefix_mask(delay, label.shape[1])
    return float((chunk - label).abs()[open_rows].mean())


def held_out_metrics(
    policy: Policy, windows: Windows, max_delay: int, generator: torch.Generator
) -> dict[str, float]:
    """Errors on held-out windows, in units of each action axis' spread.

    Args:
        policy: the trained policy.
        windows: held-out windows.
        max_delay: greatest delay to measure.
        generator: source of the noise.

    Returns:
        ``error_delay_<d>`` for no, a middle and the greatest delay, ``error_mean_action`` of
        always giving the mean action, and ``error_blind`` with black images.
    """
    sighted, blind = contexts(policy, windows), contexts(policy, windows, blind=True)
    label = policy.scales.normalised(windows.chunk)
    noise = torch.randn(label.shape, generator=generator)

    def error(context: Tensor, delay: int) -> float:
        delays = torch.full((len(windows),), delay, dtype=torch.int64)
        with torch.no_grad():
            chunk = one_step(policy.field, label, context, noise, delays)
        return postfix_error(chunk, label, delays)

    metrics = {f"error_delay_{d}": error(sighted, d) for d in (0, max_delay // 2, max_delay)}
    none = torch.zeros(len(windows), dtype=torch.int64)
    metrics["error_mean_action"] = postfix_error(torch.zeros_like(label), label, none)
    metrics["error_blind"] = error(blind, 0)
    return metrics
