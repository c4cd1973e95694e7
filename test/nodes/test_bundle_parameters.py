"""What a new bundle must show is declared with ranges, and nothing outside them is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.bundle_parameters import swap_parameters
from vla_rl_nodes.policy.swap import SwapSettings

isolate()

Make = Callable[..., Node]


@pytest.fixture
def make_node() -> Iterator[Make]:
    """Makes nodes with parameters from outside."""
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = []

    def make(**given: Any) -> Node:
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = Node("policy", context=context, parameter_overrides=overrides)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_the_usual_values_are_those_of_the_settings(make_node: Make) -> None:
    settings, processor_s = swap_parameters(make_node())
    assert settings == SwapSettings()
    assert processor_s == 20.0


def test_given_values_are_taken(make_node: Make) -> None:
    settings, processor_s = swap_parameters(
        make_node(
            shadow_chunks=7, trial_episodes=2, largest_late_share=0.0, largest_trip_rise=1.0,
            trial_processor_s=3.5,
        )
    )  # fmt: skip
    assert settings == SwapSettings(7, 2, 0.0, 1.0)
    assert processor_s == 3.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shadow_chunks", 0),
        ("trial_episodes", -1),
        ("largest_late_share", 1.5),
        ("largest_trip_rise", -0.1),
        ("trial_processor_s", float("nan")),
        ("trial_processor_s", 0.0),
        ("shadow_chunks", "many"),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(
    make_node: Make, name: str, value: Any
) -> None:
    with pytest.raises(InputError, match=f"parameter {name}"):
        swap_parameters(make_node(**{name: value}))


@pytest.mark.parametrize("name", ["shadow_chunks", "trial_episodes", "largest_trip_rise"])
def test_nothing_of_it_changes_while_the_node_runs(make_node: Make, name: str) -> None:
    node = make_node()
    swap_parameters(node)
    descriptor = node.describe_parameter(name)
    assert descriptor.read_only and descriptor.description
    assert not node.set_parameters([Parameter(name, value=node.get_parameter(name).value)])[
        0
    ].successful
