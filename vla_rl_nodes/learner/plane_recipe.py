"""The recipes of the plane's policies: every number that their training depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vla_rl_nodes.contract.load import load_yaml
from vla_rl_nodes.contract.spec import Name, Strict
from vla_rl_nodes.learner.recipe import Count, Stage, Student, recipe_path


class PlaneNetwork(Strict):
    """Sizes of the chunk's network."""

    condition: Count
    width: Count
    blocks: Count


class FlowRecipe(Strict):
    """A flow teacher and its one-step student, on the state alone."""

    recipe: Literal[1]
    name: Name
    threads: Annotated[int, Field(ge=1, le=64)]
    network: PlaneNetwork
    # Weight of the error's second differences along the chunk, and so many times that over the
    # seam with the committed actions; see plane_stages.
    smooth: Annotated[float, Field(ge=0)]
    seam: Annotated[float, Field(ge=1)]
    teacher: Stage
    student: Student


class PlaneRecipe(FlowRecipe):
    """A whole training for the plane: teacher, student, a weaker student, and the control."""

    control: Name  # what the control's bundle says that it was made by
    episodes: Count  # of demonstrations, about 70 rows each
    held_out_every: Annotated[int, Field(ge=2)]  # episodes kept for the offline figures
    flow_steps: Count  # Euler steps of the exported teacher
    weak_after: Count  # steps of the student's training until the weak checkpoint
    imitation: Stage

    @model_validator(mode="after")
    def _weak_is_early(self) -> Self:
        if self.weak_after >= self.student.steps:
            raise ValueError(
                f"weak_after {self.weak_after} is not before the student's last step; lower it"
            )
        return self


class ToyRecipe(FlowRecipe):
    """The training for the one-dimensional toy."""

    rows: Count  # of demonstrations


def load_plane_recipe(name_or_path: str | Path) -> PlaneRecipe:
    """A recipe by the name of a shipped file or by path.

    Raises:
        InputError: see contract.load.load_yaml.
    """
    return load_yaml(recipe_path(name_or_path), PlaneRecipe)


def load_toy_recipe(name_or_path: str | Path) -> ToyRecipe:
    """As :func:`load_plane_recipe`, for the toy."""
    return load_yaml(recipe_path(name_or_path), ToyRecipe)
