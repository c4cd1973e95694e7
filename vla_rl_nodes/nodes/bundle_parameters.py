"""The parameters of the policy node that say what a new bundle must show."""

from __future__ import annotations

from rclpy.node import Node

from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.policy.swap import SwapSettings


def swap_parameters(node: Node) -> tuple[SwapSettings, float]:
    """Declares them; returns the settings and the processor seconds of a trial run."""
    usual = SwapSettings()
    settings = SwapSettings(
        shadow_chunks=parameters.integer(
            node, "shadow_chunks", usual.shadow_chunks, 1, 10_000,
            "Chunks that a new bundle plans in the shadow before it may take over.",
        ),
        trial_episodes=parameters.integer(
            node, "trial_episodes", usual.trial_episodes, 1, 1000,
            "Finished episodes after which a new bundle is confirmed.",
        ),
        largest_late_share=parameters.number(
            node, "largest_late_share", usual.largest_late_share, 0.0, 1.0,
            "Share of a new bundle's chunks that may be late.",
        ),
        largest_trip_rise=parameters.number(
            node, "largest_trip_rise", usual.largest_trip_rise, 0.0, 1.0,
            "By how much a new bundle's share of commands that the safety filter limits may"
            " exceed the old one's.",
        ),
    )  # fmt: skip
    processor_s = parameters.number(
        node, "trial_processor_s", 20.0, 1.0, 3600.0,
        "Seconds of processor time that a new bundle's trial run may take, in a process of its"
        " own.",
    )  # fmt: skip
    return settings, processor_s
