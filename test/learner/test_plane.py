"""Training the plane's policies: signed bundles that run, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.chunking.models import WEAK
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.plane import PlaneRows, TrainedPlane, train_plane
from vla_rl_nodes.learner.plane_recipe import PlaneRecipe, load_plane_recipe
from vla_rl_nodes.policy.bundle import MODEL, load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine
from vla_rl_nodes.policy.flow import FlowField
from vla_rl_nodes.policy.trust import trusted_keys

CONTRACT = load_contract("plane")


def rows(seed: int = 0, count: int = 600) -> PlaneRows:
    """Actions that a linear law gives; rows of 30 episodes."""
    rng = np.random.default_rng(seed)
    state = rng.normal(0.0, 0.1, (count, *CONTRACT.streams[0].shape)).astype(np.float32)
    chunk = 0.05 * state[:, None, 8:10] * np.linspace(0.2, 1.0, 16)[None, :, None]
    return PlaneRows(
        state,
        rng.integers(0, 7, count),
        np.clip(chunk, -0.02, 0.02).astype(np.float32),
        np.repeat(np.arange(30), count // 30),
    )


@pytest.fixture(scope="module")
def recipe() -> PlaneRecipe:
    shipped = load_plane_recipe("plane_consistency")
    few = {"steps": 30, "batch": 64}
    return shipped.model_copy(
        update={
            "held_out_every": 5,
            "network": shipped.network.model_copy(update={"width": 64, "condition": 16}),
            "teacher": shipped.teacher.model_copy(update=few),
            "student": shipped.student.model_copy(update=few),
            "imitation": shipped.imitation.model_copy(update=few),
        }
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plane")


@pytest.fixture(scope="module")
def trained(out: Path, recipe: PlaneRecipe) -> TrainedPlane:
    reports: list[str] = []
    made = train_plane(
        out, 3, rows(), CONTRACT, recipe, lambda stage, *figures: reports.append(stage)
    )
    assert reports == ["teacher", "student", "imitation"]
    return made


def test_the_bundles_are_accepted_with_the_key_beside_them(trained: TrainedPlane) -> None:
    keys = trusted_keys(trained.folder)
    for name, recipe_name in (("student", "plane_consistency"), ("bc", "plane_bc")):
        bundle = load_bundle(trained.folder / name, CONTRACT, keys)
        assert bundle.version == trained.versions[name]
        assert bundle.manifest.recipe == recipe_name
        assert bundle.manifest.training.episodes == 30
        assert bundle.manifest.training.windows == 480  # a fifth is held out
        engine = OnnxEngine(bundle)
        state = {"state": rows().state[0]}
        prefix = np.full((16, 2), 0.01, np.float32)
        noise = np.random.default_rng(1).standard_normal((16, 2), np.float32)
        chunk = engine.infer(state, prefix, 4, noise)
        assert np.array_equal(chunk[:4], prefix[:4])
    assert not [path for path in trained.folder.rglob("*") if path.suffix == ".pem"]


def test_the_student_brings_teacher_and_weak_copy(trained: TrainedPlane) -> None:
    bundle = load_bundle(trained.folder / "student", CONTRACT, trusted_keys(trained.folder))
    flow = FlowField(bundle)
    assert flow.steps == load_plane_recipe("plane_consistency").flow_steps
    assert bundle.files[WEAK] != bundle.files[MODEL]
    control = load_bundle(trained.folder / "bc", CONTRACT, trusted_keys(trained.folder))
    assert control.manifest.flow is None
    assert WEAK not in control.files


def test_the_control_gives_one_answer(trained: TrainedPlane) -> None:
    keys = trusted_keys(trained.folder)
    state, nothing = {"state": rows().state[0]}, np.zeros((16, 2), np.float32)
    rng = np.random.default_rng(2)
    apart = {}
    for name in ("student", "bc"):
        engine = OnnxEngine(load_bundle(trained.folder / name, CONTRACT, keys))
        drawn = [
            engine.infer(state, nothing, 0, rng.standard_normal((16, 2), np.float32))
            for _ in range(2)
        ]
        apart[name] = np.abs(drawn[0] - drawn[1]).max()
    assert apart["bc"] == 0.0
    assert apart["student"] > 0.0


def test_held_out_figures(trained: TrainedPlane) -> None:
    for delay in range(7):
        assert 0.0 < trained.metrics[f"student_error_delay_{delay}"] < 3.0
    assert trained.metrics["imitation_error_delay_0"] > 0.0
    assert trained.metrics["student_export_difference"] < 1e-6


def test_the_same_seed_gives_the_same_manifests(
    trained: TrainedPlane, recipe: PlaneRecipe, tmp_path: Path
) -> None:
    again = train_plane(tmp_path, 3, rows(), CONTRACT, recipe)
    other = train_plane(tmp_path, 4, rows(), CONTRACT, recipe)
    assert again.versions == trained.versions
    assert other.versions != trained.versions
    assert {path.name for path in tmp_path.iterdir()} == {"seed3", "seed4"}


def test_nothing_is_written_over(trained: TrainedPlane, recipe: PlaneRecipe, out: Path) -> None:
    with pytest.raises(InputError, match="is there already"):
        train_plane(out, 3, rows(), CONTRACT, recipe)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": rows().state[:, :-1]}, r"rows: state: is \[600, 17\], not \[600, 18\]"),
        ({"chunk": rows().chunk[:, :8]}, "rows: chunk"),
        ({"episode": rows().episode[:9]}, "rows: episode"),
        ({"delay": rows().delay + 1}, "max_delay"),
        ({"chunk": rows().chunk * np.float32("nan")}, "not finite"),
        ({"episode": rows().episode * 0}, "too few episodes"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    recipe: PlaneRecipe, tmp_path: Path, changes: dict[str, np.ndarray], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        train_plane(tmp_path, 0, replace(rows(), **changes), CONTRACT, recipe)
    assert not list(tmp_path.iterdir())
