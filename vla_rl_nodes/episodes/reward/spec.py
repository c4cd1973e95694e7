"""``config/rewards/<name>.yaml``: which judges look at an episode, and what each of them gives."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vla_rl_nodes.contract.spec import Finite, Name, Positive, Strict
from vla_rl_nodes.remote.spec import Server

Place = Annotated[str, Field(min_length=1, max_length=300)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
InARow = Annotated[int, Field(ge=1, le=1000)]
Score = Annotated[int, Field(ge=1, le=5)]
Frames = Annotated[int, Field(ge=1, le=64)]


class _Backend(Strict):
    """What all have: a verdict that comes later than this after its capture is not published."""

    max_age_s: Positive = 0.5


class _Looking(_Backend):
    """A judge of single looks by a model; ``model`` names a folder, see ``make.model_folder``.

    ``every_s`` is the least time between two looks; 0 is every control tick.
    """

    model: Place
    every_s: NotNegative = 0.0


class PredicateSpec(_Backend):
    """The task's scripted rule on ``sim/state``; the scene names it, by default the contract's."""

    kind: Literal["predicate"]
    scene: Place | None = None


class TimePenaltySpec(_Backend):
    """What every step costs."""

    kind: Literal["time_penalty"]
    per_step: NotNegative


class ClassifierSpec(_Looking):
    """Success after ``consecutive`` positives, none further than a gap from the last one."""

    kind: Literal["classifier"]
    consecutive: InARow
    greatest_gap_s: Positive = 1.0


class StepsToGoSpec(_Looking):
    """Success after so many looks in a row with at most ``success_steps`` control ticks to go."""

    kind: Literal["steps_to_go"]
    success_steps: NotNegative
    consecutive: InARow
    greatest_gap_s: Positive = 1.0


class PairwiseSpec(_Looking):
    """Progress from comparing each look with the last one."""

    kind: Literal["pairwise"]


class RubricSpec(_Backend):
    """A score of 1 to 5 at the episode's end, by a model's folder or by a server.

    A server is sent ``frames`` frames of ``camera``, the key of an image stream.
    """

    kind: Literal["rubric5"]
    rewards: Annotated[list[Finite], Field(min_length=5, max_length=5)]
    success_from: Score
    model: Place | None = None
    server: Server | None = None
    camera: Name | None = None
    frames: Frames | None = None
    max_age_s: Positive = 30.0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        served = [self.server, self.camera, self.frames]
        if (self.model is None) != all(part is not None for part in served):
            raise ValueError("is neither a folder nor a server; give model, or all of server,"
                             " camera and frames")  # fmt: skip
        if self.model is not None and any(part is not None for part in served):
            raise ValueError("holds a model and parts of a server; give one of them")
        return self


Backend = Annotated[
    PredicateSpec | TimePenaltySpec | ClassifierSpec | StepsToGoSpec | PairwiseSpec | RubricSpec,
    Field(discriminator="kind"),
]

_GIVES = {
    "predicate": {"success", "reward"},
    "time_penalty": {"reward"},
    "classifier": {"success", "reward"},
    "steps_to_go": {"success", "reward", "progress"},
    "pairwise": {"reward", "progress"},
    "rubric5": {"success", "reward", "progress"},
}


class Roles(Strict):
    """Who gives what. The reward is one judge's, less what time costs."""

    reward: Annotated[list[Name], Field(min_length=1, max_length=2)]
    success: Name | None = None
    progress: Name | None = None


class Rewards(Strict):
    """One reward: its judges by name, and their roles."""

    rewards: Literal[1]
    name: Name
    backends: Annotated[dict[Name, Backend], Field(min_length=1, max_length=8)]
    roles: Roles

    @model_validator(mode="after")
    def _roles_fit(self) -> Self:
        wanted = [("reward", name) for name in self.roles.reward]
        wanted += [
            (role, name)
            for role, name in (("success", self.roles.success), ("progress", self.roles.progress))
            if name is not None
        ]
        for role, name in wanted:
            backend = self.backends.get(name)
            if backend is None:
                raise ValueError(f"{role} is given to '{name}'; name one of the backends")
            if role not in _GIVES[backend.kind]:
                raise ValueError(
                    f"'{name}' is a {backend.kind}, which gives no {role}; name another"
                )
        idle = next((name for name in self.backends if name not in {n for _, n in wanted}), None)
        if idle is not None:
            raise ValueError(f"backend '{idle}' has no role; give it one or remove it")
        kinds = [self.backends[name].kind for name in self.roles.reward]
        if len(set(self.roles.reward)) != len(kinds) or (
            len(kinds) == 2 and kinds.count("time_penalty") != 1
        ):
            raise ValueError(
                "reward is the sum of two judges; give one, and perhaps a time_penalty"
            )
        return self
