"""The recipe of a reward model: every number that its training depends on, in one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vla_rl_nodes.contract.load import load_yaml, named_file, read_yaml
from vla_rl_nodes.contract.spec import Name, Positive, Strict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.recipe import Augmentation, Count, Stage
from vla_rl_nodes.policy.manifest import Text

Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class JudgeNetwork(Strict):
    """Sizes of an encoder a camera, and of the layers behind them."""

    channels: Annotated[list[Count], Field(min_length=4, max_length=4)]
    camera_features: Count
    width: Count


class RewardRecipe(Strict):
    """What the recipes of all kinds have.

    Attributes:
        streams: keys of the contract's streams that the model sees.
        held_out_every: one of so many starts is kept for the figures, where no other episodes are
            given for them.
        success_label: sidecar of kind ``success`` that wins over an episode's outcome.
        progress_label: sidecar of kind ``progress`` that wins over the share of time gone by.
    """

    recipe: Literal[1]
    name: Name
    threads: Annotated[int, Field(ge=1, le=64)]
    streams: Annotated[list[Name], Field(min_length=1, max_length=16)]
    held_out_every: Annotated[int, Field(ge=2)]
    success_label: Label = "success"
    progress_label: Label = "progress"
    network: JudgeNetwork
    augmentation: Augmentation
    stage: Stage


class ClassifierRecipe(RewardRecipe):
    """A success classifier.

    Attributes:
        positive_s: frames so shortly before an operator's success are positives.
        margin_s: frames so shortly before these are left out: nobody can say which they are.
        consecutive: positives in a row that make a detection.
        compared: other such numbers, whose figures are reported beside.
        folds: parts of the episodes; each is judged by a model that was trained on the others.
        most_false_per_hour: false successes, by the upper bound, where a threshold can keep it.
        most_missed: share of the successes that the threshold may miss.
    """

    kind: Literal["success_classifier"]
    positive_s: Positive
    margin_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    consecutive: Count
    compared: Annotated[list[Count], Field(max_length=8)] = []
    folds: Annotated[int, Field(ge=2, le=20)]
    most_false_per_hour: Positive
    most_missed: Share


class StepsToGoRecipe(RewardRecipe):
    """Steps to go; ``success_below`` steps count as success where it is used as a detector."""

    kind: Literal["steps_to_go"]
    success_below: Positive
    consecutive: Count


class PairwiseRecipe(RewardRecipe):
    """Pairwise progress.

    Attributes:
        stride: ticks from look to look of the reward node; how well it does is measured with it.
        order_stride: the same for the measure of order, which needs many frames: even a perfect
            critic's progress rises along a few frames in random order, since it starts at 0.
    """

    kind: Literal["pairwise_progress"]
    stride: Count
    order_stride: Count


class RubricRecipe(RewardRecipe):
    """A score from 1 to 5.

    Attributes:
        frames: T, of an episode.
        tasks: texts that an episode may have as its task.
        memory: width of the recurrent layer.
        relabelled: share of a batch that is shown under another task, where the score is 1.
        clipped: share of a batch whose end is cut off.
        least_cut: share of an episode that is cut off at least: what lacks the last moment only
            looks complete.
    """

    kind: Literal["rubric5"]
    frames: Annotated[int, Field(ge=2, le=256)]
    tasks: Annotated[list[Text], Field(min_length=1, max_length=256)]
    memory: Count
    relabelled: Share
    clipped: Share
    least_cut: Annotated[float, Field(gt=0, lt=1)]


class RankingRecipe(RewardRecipe):
    """A value that is learnt from the order of frames in time; ``least_apart`` is in ticks."""

    kind: Literal["value_ranking"]
    least_apart: Count


AnyRecipe = ClassifierRecipe | StepsToGoRecipe | PairwiseRecipe | RubricRecipe | RankingRecipe
RECIPES: dict[str, type[AnyRecipe]] = {
    "success_classifier": ClassifierRecipe,
    "steps_to_go": StepsToGoRecipe,
    "pairwise_progress": PairwiseRecipe,
    "rubric5": RubricRecipe,
    "value_ranking": RankingRecipe,
}


def load_reward_recipe(name_or_path: str | Path, kind: str) -> AnyRecipe:
    """A recipe of a kind, by the name of a shipped file or by path.

    Raises:
        InputError: see contract.load.load_yaml; or the recipe is of another kind.
    """
    path = named_file("reward_recipes", name_or_path)
    given = read_yaml(path).get("kind")
    if given != kind:
        raise InputError(f"{path}: kind", f"is {given}, not {kind}", "give a recipe of that kind")
    return load_yaml(path, RECIPES[kind])
