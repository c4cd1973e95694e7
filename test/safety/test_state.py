"""Precedence of the sources, and how a failure is told."""

from __future__ import annotations

from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Problem, Source


def test_sources_are_listed_by_precedence() -> None:
    assert list(Source) == ["intervention", "reset", "policy"]


def test_a_failure_is_one_line_that_names_it() -> None:
    problem = Problem.of(ZeroDivisionError("by\nzero"))
    assert problem == (Reason.UNVERIFIED_STOP, "ZeroDivisionError in the filter: by zero")
