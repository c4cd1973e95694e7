"""Declared parameters with a description, read-only unless said, and checked once."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_rl_nodes.errors import InputError


def text(node: Node, name: str, default: str, description: str, read_only: bool = True) -> str:
    """A text parameter."""
    return str(_declare(node, name, default, ParameterDescriptor(
        description=description, read_only=read_only)))  # fmt: skip


def flag(node: Node, name: str, default: bool, description: str, read_only: bool = True) -> bool:
    """A boolean parameter."""
    return bool(_declare(node, name, default, ParameterDescriptor(
        description=description, read_only=read_only)))  # fmt: skip


def integer(
    node: Node, name: str, default: int, low: int, high: int, description: str,
    read_only: bool = True,
) -> int:  # fmt: skip
    """An integer parameter in [low, high]."""
    return int(_declare(node, name, default, ParameterDescriptor(
        description=description, read_only=read_only,
        integer_range=[IntegerRange(from_value=low, to_value=high, step=1)])))  # fmt: skip


def number(
    node: Node, name: str, default: float, low: float, high: float, description: str,
    read_only: bool = True,
) -> float:  # fmt: skip
    """A floating-point parameter in [low, high]."""
    return float(_declare(node, name, default, ParameterDescriptor(
        description=description, read_only=read_only,
        floating_point_range=[FloatingPointRange(from_value=low, to_value=high, step=0.0)],
    )))  # fmt: skip


def numbers(node: Node, name: str, description: str) -> None:
    """A list of floating-point numbers, empty at first, which may be set at any time."""
    descriptor = ParameterDescriptor(description=description)
    _declare(node, name, Parameter.Type.DOUBLE_ARRAY, descriptor)
    clear_numbers(node, name)


def clear_numbers(node: Node, name: str) -> None:
    """Makes such a list empty: an empty Python list alone does not say of what it is."""
    node.set_parameters([Parameter(name, Parameter.Type.DOUBLE_ARRAY, [])])


def _declare(node: Node, name: str, default: Any, descriptor: ParameterDescriptor) -> Any:
    try:
        return node.declare_parameter(name, default, descriptor).value
    except (ParameterException, InvalidParameterTypeException, ValueError) as error:
        expected = getattr(default, "name", type(default).__name__).lower()
        raise InputError(
            f"{node.get_name()}: parameter {name}", str(error), f"give one {expected}"
        ) from error
