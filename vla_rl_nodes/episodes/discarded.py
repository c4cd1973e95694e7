"""Whether an operator threw an episode away."""

from __future__ import annotations

from collections.abc import Mapping

DISCARDED = "discarded"  # the key, in ``episode/state`` and in a bag's metadata
_KEPT = ("", "0")


def is_discarded(values: Mapping[str, str]) -> bool:
    """Whether an episode's values or its bag's metadata say so; a text nobody knows does too."""
    return values.get(DISCARDED, "") not in _KEPT
