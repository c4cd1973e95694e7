"""Real nodes as processes on localhost, in a ROS domain of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one graph's bags and logs."""
    return tmp_path_factory.mktemp("graph")
