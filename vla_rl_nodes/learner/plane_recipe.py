"""The recipe of the plane's policies: every number that their training depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vla_rl_nodes.contract.load import load_yaml
from vla_rl_nodes.contract.spec import Name, Strict
from vla_rl_nodes.learner.recipe import Count, Stage, Student, recipe_path


class PlaneNetwork(Strict):
    """Sizes of the chunk's network."""

    condition: Count
    width: Count
    blocks: Count


class PlaneRecipe(Strict):
    """A whole training on rows of demonstrations: flow teacher, one-step student, control."""

    recipe: Literal[1]
    name: Name
    control: Name  # what the control's bundle says that it was made by
    threads: Annotated[int, Field(ge=1, le=64)]
    held_out_every: Annotated[int, Field(ge=2)]  # episodes kept for the offline figures
    episodes: Count  # of demonstrations, about 70 rows each
    network: PlaneNetwork
    # Weight of the error's second differences along the chunk; see plane_stages.
    smooth: Annotated[float, Field(ge=0)]
    flow_steps: Count  # Euler steps of the exported teacher
    teacher: Stage
    student: Student
    weak_after: Count  # steps of the student's training until the weak checkpoint
    imitation: Stage


def load_plane_recipe(name_or_path: str | Path) -> PlaneRecipe:
    """A recipe by the name of a shipped file or by path.

    Raises:
        InputError: see contract.load.load_yaml.
    """
    return load_yaml(recipe_path(name_or_path), PlaneRecipe)
