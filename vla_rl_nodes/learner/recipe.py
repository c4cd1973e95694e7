"""The recipe: every number that training depends on, in one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Name, Positive, Strict

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Network(Strict):
    """Sizes of the encoder and of the chunk's network."""

    channels: Annotated[list[Count], Field(min_length=4, max_length=4)]
    camera_features: Count
    condition: Count
    width: Count
    blocks: Count


class Augmentation(Strict):
    """Changes to the images that must not change the action."""

    shift_px: Annotated[int, Field(ge=0, le=16)]
    gain: Share  # brightness and, per channel, colour: factor 1 ± gain
    offset: Share  # added, as a share of full scale
    copies: Count  # augmented contexts kept per window once the encoder is frozen


class Auxiliary(Strict):
    """Privileged labels that the encoder learns to see; never an input of the policy.

    The quaternion is turned into cos and sin of four times the yaw, the same for all four sides
    of a cube.
    """

    position: Annotated[list[Name], Field(min_length=1)]
    quaternion_wxyz: Annotated[list[Name], Field(min_length=4, max_length=4)]
    weight: Positive


class Stage(Strict):
    """One optimisation: AdamW, linear warm-up, cosine decay to zero, moving average."""

    steps: Count
    batch: Count
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    average: Share  # decay of the weights' exponential moving average


class Student(Stage):
    """Distillation of the teacher to one step."""

    teacher_steps: Count  # Euler steps of the teacher's trajectory
    from_noise: Share  # share of the batch that starts at pure noise, as the robot does
    huber: Positive  # pseudo-Huber scale, in normalised action units


class Recipe(Strict):
    """A whole training: encoder with L1 head, flow teacher, one-step student."""

    recipe: Literal[1]
    name: Name
    threads: Annotated[int, Field(ge=1, le=64)]
    held_out_every: Annotated[int, Field(ge=2)]
    network: Network
    augmentation: Augmentation
    auxiliary: Auxiliary
    smooth: Annotated[float, Field(ge=0)] = 0.0  # weight of an error's second differences
    flow_steps: Count = 10  # Euler steps of the teacher on the robot
    encoder: Stage
    teacher: Stage
    student: Student


def recipe_path(name_or_path: str | Path) -> Path:
    """Path of a shipped recipe by name, or the path itself.

    Raises:
        InputError: no shipped recipe has that name.
    """
    return named_file("recipes", name_or_path)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe by the name of a shipped file or by path.

    Raises:
        InputError: see contract.load.load_yaml.
    """
    return load_yaml(recipe_path(name_or_path), Recipe)
