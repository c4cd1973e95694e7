"""The student's forecast of its own end: success or failure, and how many ticks remain.

One joint distribution over (final reward, remaining length) from the same forward pass as the
action (ZIP-RC, arXiv 2512.01457). It judges a context together with the chunk that was drawn, so
that candidates from different noise differ; it is trained on a policy that is already fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.networks import OutcomeHead
from vla_rl_nodes.learner.optimise import Progress, fit, silent
from vla_rl_nodes.learner.policy import Scales
from vla_rl_nodes.learner.recipe import Stage
from vla_rl_nodes.policy.manifest import Outcome

_CALIBRATION_BINS = 10


def declared(head: OutcomeHead) -> Outcome:
    """What the manifest of a policy with this head says of it."""
    return Outcome(remaining_ticks=head.get_buffer("centres").tolist())


def bin_centres(longest: int, bins: int) -> list[float]:
    """Centres of ``bins`` equal bins that cover 0 to ``longest`` remaining ticks."""
    return [(index + 0.5) * longest / bins for index in range(bins)]


def outcome_labels(success: Tensor, remaining: Tensor, centres: Tensor) -> Tensor:
    """Index of each row's cell in the joint [2K]: int64 [B].

    Args:
        success: whether the episode succeeded, bool [B].
        remaining: ticks to its end, [B]; the nearest bin counts.
        centres: of the bins, [K].
    """
    nearest = (remaining[:, None] - centres).abs().argmin(dim=1)
    return success.to(torch.int64) * len(centres) + nearest


def outcome_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of the cells that came true; a scalar.

    Args:
        logits: [B, 2K] of :meth:`OutcomeHead.logits`.
        labels: [B] of :func:`outcome_labels`.
    """
    return nn.functional.cross_entropy(logits, labels)


def train_outcome(
    head: OutcomeHead,
    scales: Scales,
    contexts: Tensor,
    chunks: Tensor,
    success: Tensor,
    remaining: Tensor,
    stage: Stage,
    generator: torch.Generator,
    progress: Progress = silent,
) -> OutcomeHead:
    """Trains the head on ticks of the finished policy's own episodes.

    Args:
        head: trained in place.
        scales: the policy's.
        contexts: of the ticks, [N, C].
        chunks: what the policy gave there, in the contract's units, [N, H, A].
        success: whether the tick's episode succeeded, bool [N]; a timeout did not.
        remaining: ticks from there to the episode's end, [N].
        stage: the numbers.
        generator: draws the batches.
        progress: see optimise.Progress.

    Returns:
        The averaged head; give it to ``Policy.outcome``.

    Raises:
        InputError: the arrays differ in length, or the loss is no longer finite.
    """
    rows = len(contexts)
    if not rows or any(len(value) != rows for value in (chunks, success, remaining)):
        raise InputError("outcome", "has not one row of each array a tick", "give as many")
    labels = outcome_labels(success, remaining, head.get_buffer("centres"))
    normalised = scales.normalised(chunks)

    def loss() -> Tensor:
        chosen = torch.randint(0, rows, (stage.batch,), generator=generator)
        return outcome_loss(head.logits(contexts[chosen], normalised[chosen]), labels[chosen])

    average = fit("outcome", head, loss, stage, progress)
    assert isinstance(average, OutcomeHead)
    return average


def outcome_metrics(
    joint: Tensor, success: Tensor, remaining: Tensor, centres: Tensor
) -> dict[str, float]:
    """How good a forecast was.

    Args:
        joint: [N, 2, K] of :class:`OutcomeHead`.
        success: bool [N].
        remaining: ticks, [N].
        centres: of the bins, [K].

    Returns:
        ``success_ece``: expected calibration error of the success probability over ten equal bins
        (Guo et al. 2017, arXiv 1706.04599); ``remaining_error``: mean absolute difference, in
        ticks, between the expected and the true remaining ticks.
    """
    chance = joint[:, 1].sum(dim=1)
    bins = (chance * _CALIBRATION_BINS).long().clamp(0, _CALIBRATION_BINS - 1)
    gap = (chance - success.to(chance.dtype)).new_zeros(_CALIBRATION_BINS)
    gap.index_add_(0, bins, chance - success.to(chance.dtype))
    expected = (joint.sum(dim=1) * centres).sum(dim=1)
    return {
        "success_ece": float(gap.abs().sum() / len(joint)),
        "remaining_error": float((expected - remaining).abs().mean()),
    }
