"""Potential-based shaping: dense rewards that leave the best policy what it is."""

from __future__ import annotations


def shaping(gamma: float, value: float, next_value: float) -> float:
    """What is added to the reward of a step: gamma V(s') - V(s).

    With any function V of the state the returns of all policies change by the same -V(start), so
    that the optimal policy stays optimal (Ng, Harada and Russell 1999; RFTF, 2505.19767, takes
    V from the order of frames in time). V of a terminal state must be 0, or the policy is paid
    for where it ends.

    Args:
        gamma: the discount of the returns that the policy is trained on.
        value: V(s).
        next_value: V(s'); 0 where s' is terminal.
    """
    return gamma * next_value - value
