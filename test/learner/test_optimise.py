"""The optimisation loop: it reaches a minimum, averages the weights and tells a divergence."""

from __future__ import annotations

import pytest
import torch

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import average_into, fit
from vla_rl_nodes.learner.recipe import Stage

pytestmark = pytest.mark.learner

STAGE = Stage(steps=120, batch=8, learning_rate=0.1, weight_decay=0.0, average=0.9)


def test_it_reaches_the_minimum_and_reports_the_mean_loss() -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 1)
    wanted = torch.tensor([[1.0, -2.0, 0.5]])
    reports: list[tuple[str, int, int, float]] = []
    average = fit(
        "line",
        module,
        lambda: (module.weight - wanted).square().sum() + module.bias.square().sum(),
        STAGE,
        lambda *report: reports.append(report),
    )
    assert torch.allclose(module.weight, wanted, atol=1e-2)
    weight = average.get_parameter("weight")
    assert torch.allclose(weight, wanted, atol=1e-2) and not weight.requires_grad
    assert not torch.equal(weight, module.weight)
    assert [report[:3] for report in reports] == [
        ("line", 50, 120),
        ("line", 100, 120),
        ("line", 120, 120),
    ]
    assert reports[0][3] > reports[1][3] > reports[2][3]


def test_the_average_follows_early_and_keeps_late() -> None:
    average, current = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    average.weight.data.fill_(0.0)
    current.weight.data.fill_(1.0)
    average_into(average, current, step=0, decay=0.999)
    assert float(average.weight.detach()) == pytest.approx(0.9)
    average.weight.data.fill_(0.0)
    average_into(average, current, step=1_000_000, decay=0.999)
    assert float(average.weight.detach()) == pytest.approx(0.001)


def test_a_loss_that_diverges_is_one_line() -> None:
    module = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match="teacher: the loss is not finite at step 50; lower its"):
        fit("teacher", module, lambda: module.weight.sum() * float("nan"), STAGE)
