"""The judges one by one, with models that judge by brightness."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reward.classifier import Classifier
from vla_rl_nodes.episodes.reward.pairwise import PairwiseProgress
from vla_rl_nodes.episodes.reward.progress_value import values
from vla_rl_nodes.episodes.reward.rubric import Scale
from vla_rl_nodes.episodes.reward.rubric_onnx import OnnxRubric
from vla_rl_nodes.episodes.reward.steps_to_go import StepsToGo
from vla_rl_nodes.episodes.reward.success_rule import Consecutive
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError

from .models import TASKS, film, loaded, look, model_bytes

pytestmark = pytest.mark.learner
SCALE = Scale((0.0, 0.1, 0.2, 0.5, 1.0), 4)
LIGHTS = st.lists(st.integers(0, 255), min_size=2, max_size=20)
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@pytest.fixture
def steps(tmp_path: Path, key_path: Path) -> StepsToGo:
    model = loaded(tmp_path / "steps", "steps_to_go", key_path)
    return StepsToGo(model, 20.0, Consecutive(2, 1.0))


@pytest.fixture
def pairs(tmp_path: Path, key_path: Path) -> PairwiseProgress:
    return PairwiseProgress(loaded(tmp_path / "pairs", "pairwise_progress", key_path))


def test_classifier(tmp_path: Path, key_path: Path) -> None:
    model = loaded(tmp_path / "m", "success_classifier", key_path, threshold=0.6)
    judge = Classifier(model, Consecutive(2, 1.0))
    assert judge.streams == ("image_scene",) and not judge.adds and not judge.inline
    given = [judge.judge(look(50 * i, light)) for i, light in enumerate([0.2, 0.6, 0.4, 0.8, 0.6])]
    assert [v.success for v in given] == [False, False, False, False, True]
    assert [v.reward for v in given] == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert given[3].confidence == pytest.approx(0.8, abs=1e-6)
    assert given[4] == Verdict(200_000_000, judge.source, 1.0, True, given[4].confidence)
    again = judge.judge(look(250, 1.0, "b"))  # another episode starts from nothing
    assert again.success is False and again.reward == 0.0
    assert judge.judge(look(300, 1.0, "b")).success is True
    # And so does a new attempt.
    assert judge.judge(replace(look(350, 1.0, "b"), attempt=2)).success is False


def test_a_probability_at_the_threshold_is_a_positive(tmp_path: Path, key_path: Path) -> None:
    model = loaded(tmp_path / "m", "success_classifier", key_path, threshold=1.0)
    assert Classifier(model, Consecutive(1, 1.0)).judge(look(0, 1.0)).success is True


def test_a_probability_above_one_is_no_verdict(tmp_path: Path, key_path: Path) -> None:
    data = model_bytes("success_classifier", scale=2.0)
    judge = Classifier(
        loaded(tmp_path / "m", "success_classifier", key_path, data), Consecutive(1, 1.0)
    )
    with pytest.raises(InputError, match=r"gives confidence 1\.6"):
        judge.judge(look(0, 0.8))


def test_steps_to_go(steps: StepsToGo) -> None:
    given = [steps.judge(look(50 * i, light)) for i, light in enumerate([0.0, 0.4, 0.2, 0.8, 1.0])]
    assert [v.steps_to_go for v in given] == pytest.approx([100, 60, 80, 20, 0], abs=1e-4)
    assert [v.reward for v in given] == pytest.approx([0, 40, -20, 60, 20], abs=1e-4)
    assert [v.progress for v in given] == pytest.approx([0, 0.4, 0.2, 0.8, 1.0], abs=1e-6)
    assert [v.success for v in given] == [False, False, False, False, True]
    assert {v.progress_confidence for v in given} == {0.9}  # a spread of 10 of 100
    # At a mean of 20 and a limit of 20 it is even; two spreads off it is the normal's tail.
    assert given[3].confidence == pytest.approx(0.5, abs=1e-4)
    assert given[4].confidence == pytest.approx(0.5 + 0.5 * math.erf(math.sqrt(2)), abs=1e-4)
    assert steps.adds


@ONE_FOLDER
@given(lights=LIGHTS)
def test_its_rewards_telescope(steps: StepsToGo, lights: list[int]) -> None:
    steps._whose = None
    given = [steps.judge(look(50 * i, light / 255)) for i, light in enumerate(lights)]
    first, last = given[0].steps_to_go, given[-1].steps_to_go
    assert first is not None and last is not None
    assert sum(v.reward or 0.0 for v in given) == pytest.approx(first - last, abs=1e-9)


def test_no_spread_is_certain_and_a_negative_one_is_no_verdict(
    tmp_path: Path, key_path: Path
) -> None:
    for spread, confidence in ((0.0, 1.0), (-1.0, None)):
        data = model_bytes("steps_to_go", spread=spread)
        model = loaded(tmp_path / str(spread), "steps_to_go", key_path, data)
        judge = StepsToGo(model, 20.0, Consecutive(1, 1.0))
        if confidence is None:
            with pytest.raises(InputError, match="gives spread -1"):
                judge.judge(look(0, 1.0))
        else:
            assert judge.judge(look(0, 1.0)).confidence == confidence
            assert judge.judge(look(50, 0.0)).confidence == 0.0


def test_pairs(pairs: PairwiseProgress) -> None:
    lights = [0.0, 0.2, 0.6, 0.4, 1.0]
    given = [pairs.judge(look(50 * i, light)) for i, light in enumerate(lights)]
    progress = values([20.0, 40.0, -20.0, 60.0])
    assert [v.progress for v in given] == pytest.approx([p / 100 for p in progress], abs=1e-6)
    assert sum(v.reward or 0.0 for v in given) == pytest.approx(given[-1].progress, abs=1e-9)
    assert given[0].reward == 0.0 and given[0].success is None and given[0].confidence is None
    assert pairs.judge(look(500, 0.9, "b")).progress == 0.0


def test_a_critic_out_of_range_is_no_verdict(tmp_path: Path, key_path: Path) -> None:
    data = model_bytes("pairwise_progress", scale=2.0)
    judge = PairwiseProgress(loaded(tmp_path / "m", "pairwise_progress", key_path, data))
    judge.judge(look(0, 0.0))
    with pytest.raises(InputError, match="gives critic 200"):
        judge.judge(look(50, 1.0))
    # The look that was not judged is left out: the next is compared with the first.
    assert judge.judge(look(100, 0.2)).progress == pytest.approx(0.4, abs=1e-6)


def test_rubric(tmp_path: Path, key_path: Path) -> None:
    judge = OnnxRubric(loaded(tmp_path / "m", "rubric5", key_path), SCALE)
    assert (judge.film, judge.sees, judge.streams) == (4, "film", ("image_scene",))
    for light, score in ((0.0, 1), (0.25, 2), (0.5, 3), (0.75, 4), (1.0, 5)):
        verdict = judge.judge(film([1.0, 0.0, 1.0, light]))  # the final state alone counts
        assert verdict.critique_code == score and verdict.reward == SCALE.rewards[score - 1]
        assert verdict.success is (score >= 4) and verdict.progress == (score - 1) / 4
        assert verdict.confidence is not None and (verdict.confidence > 0.5) is (score >= 4)
    assert judge.judge(film([0.0] * 4, TASKS[1])).critique_code == 1


def test_a_task_that_it_does_not_know_has_no_verdict(tmp_path: Path, key_path: Path) -> None:
    judge = OnnxRubric(loaded(tmp_path / "m", "rubric5", key_path), SCALE)
    with pytest.raises(InputError, match="was not trained on 'fly'"):
        judge.judge(film([1.0] * 4, "fly"))


@pytest.mark.parametrize("name", ["reward", "confidence", "progress", "steps_to_go"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_verdict_holds_finite_numbers(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"gives a {name} that is not finite"):
        Verdict(0, "judge", **{name: value})  # type: ignore[arg-type]
