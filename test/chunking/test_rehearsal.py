"""A bundle's first run happens elsewhere: what crashes, hangs or lies there is only refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import Maker, student
from policy.onnx_writer import endless_loop, node

from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.chunking.rehearsal import plan_at_every_delay, rehearse
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError

# What is tried runs at the lowest priority and gets nothing beside two busy tests.
pytestmark = pytest.mark.alone


@pytest.fixture
def maker(tmp_path: Path, contract: Contract) -> Maker:
    return Maker(tmp_path, contract)


@pytest.fixture
def setup(maker: Maker) -> Setup:
    return Setup(maker.contract.name, trusted_keys=str(maker.trusted))


def version_of(setup: Setup, path: Path) -> str:
    return Opener(setup).verify(path).version


def test_a_good_bundle_passes_in_a_process_of_its_own(maker: Maker, setup: Setup) -> None:
    path = maker("good", student(maker.contract))
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    rehearse(setup, path, version_of(setup, path), 30.0)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_what_the_other_process_refuses_is_refused_with_its_words(
    maker: Maker, setup: Setup
) -> None:
    path = maker("bad", student(maker.contract, keep_prefix=False))
    with pytest.raises(InputError) as caught:
        rehearse(setup, path, version_of(setup, path), 30.0)
    assert str(caught.value) == (
        f"{path}/policy.onnx: changes the prefix at delay 1; export it again"
    )


def test_a_bundle_that_was_changed_after_its_verification_is_refused(
    maker: Maker, setup: Setup
) -> None:
    path = maker("good", student(maker.contract))
    with pytest.raises(InputError, match="was changed while it was tried"):
        rehearse(setup, path, "0" * 12, 30.0)


def test_a_graph_without_an_end_is_ended(maker: Maker, setup: Setup) -> None:
    def endless(parts: dict[str, object]) -> None:
        parts["constants"]["rounds"] = np.array(2**62, np.int64)  # type: ignore[index]
        parts["nodes"][:1] = [  # type: ignore[index]
            node("Mul", ["noise", "gain"], "first"),
            endless_loop("first", "spread", "rounds"),
        ]

    path = maker("endless", student(maker.contract, change=endless))
    with pytest.raises(InputError, match="took more than 2 s of processor time"):
        rehearse(setup, path, version_of(setup, path), 2.0)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "with SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "with SIGSEGV"),
        ("raise SystemExit(3)", "with status 3"),
        ("print('all is well')", "with status 0"),
        ("print('{\"refused\": [1]}')", "with status 0"),
        ("print('[]')", "with status 0"),
        ("import threading; threading.Event().wait()", "did not finish its trial run within 1 s"),
    ],
)
def test_a_process_that_gives_no_verdict_is_a_refusal(
    setup: Setup, tmp_path: Path, program: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        rehearse(setup, tmp_path, "0" * 12, 0.1, (sys.executable, "-S", "-c", program))
    assert str(caught.value).startswith(f"{tmp_path}: ") and said in str(caught.value)


def test_a_program_that_cannot_be_started_is_a_refusal(setup: Setup, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be tried"):
        rehearse(setup, tmp_path, "0" * 12, 1.0, (str(tmp_path / "nothing"),))


def test_every_delay_is_tried_with_the_robots_strategy(maker: Maker, setup: Setup) -> None:
    path = maker("good", student(maker.contract))
    version = version_of(setup, path)
    plan_at_every_delay(setup, path, version)
    teacher = Setup(setup.contract, "prefix_teacher", trusted_keys=setup.trusted_keys)
    with pytest.raises(InputError, match="holds no multi-step teacher"):
        plan_at_every_delay(teacher, path, version)
