"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.signing import create_key

# Before any test imports MuJoCo, which decides then how it renders.
os.environ.setdefault("MUJOCO_GL", "egl")

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def contract() -> Contract:
    """The shipped contract."""
    return load_contract("franka_pick")


@pytest.fixture(scope="session")
def key_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key whose public half lies beside it."""
    path = tmp_path_factory.mktemp("keys") / "maker.pem"
    create_key(path)
    return path
