"""Settings of the retry monitor, from config/retries/*.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Strict

Action = Literal["retry", "help", "abort"]
Steps = Annotated[int, Field(ge=1, le=100_000)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class StepsToGo(Strict):
    """When a value in steps lags behind. All in control ticks.

    Attributes:
        window_steps: over which the expected progress is held against the achieved one.
        lag_steps: behind by more than this counts as lagging.
        clear_steps: behind by less than this ends the lagging; in between nothing is decided.
    """

    signal: Literal["steps_to_go"]
    window_steps: Steps
    lag_steps: Annotated[float, Field(gt=0.0, le=100_000.0)]
    clear_steps: Annotated[float, Field(ge=0.0)]

    @model_validator(mode="after")
    def _fits(self) -> StepsToGo:
        if self.lag_steps >= self.window_steps:
            raise ValueError(
                "lag_steps is not below window_steps, so that nothing would ever lag; a stalled"
                " robot falls behind by window_steps at most"
            )
        if self.clear_steps > self.lag_steps:
            raise ValueError("clear_steps is above lag_steps; give at most lag_steps")
        return self


class Progress(Strict):
    """When a progress from 0 to 1 stalls.

    Attributes:
        window_steps: control ticks over which the gain is taken; nothing is decided before.
        minimum_gain: a smaller gain counts as lagging.
        clear_gain: a gain above this ends the lagging; in between nothing is decided.
        done: from this progress on the task counts as done, and nothing lags.
    """

    signal: Literal["progress"]
    window_steps: Steps
    minimum_gain: Annotated[float, Field(gt=0.0, le=1.0)]
    clear_gain: Share
    done: Share = 1.0

    @model_validator(mode="after")
    def _fits(self) -> Progress:
        if self.clear_gain < self.minimum_gain:
            raise ValueError("clear_gain is below minimum_gain; give at least minimum_gain")
        return self


class RetrySettings(Strict):
    """The whole file.

    Attributes:
        retries: layout of the file.
        watch: what is watched, and its thresholds.
        confirm_steps: control ticks that the lagging must last without having cleared.
        quiet_steps: control ticks after a request, a retreat, an intervention, a pause or the
            start in which nothing is watched.
        confidence_min: of a sample, below which it is not used; a source that gives none has 1.
        on_stall: what is asked for at the first stall of an episode, the second and so on; the
            last one stands for all that follow.
    """

    retries: Literal[1]
    watch: Annotated[StepsToGo | Progress, Field(discriminator="signal")]
    confirm_steps: Steps
    quiet_steps: Annotated[int, Field(ge=0, le=100_000)]
    confidence_min: Share
    on_stall: Annotated[list[Action], Field(min_length=1, max_length=20)]

    def action(self, stall: int) -> Action:
        """What to ask for at a stall, counted from 0 in the episode."""
        return self.on_stall[min(stall, len(self.on_stall) - 1)]


def load_retries(name_or_path: str | Path) -> RetrySettings:
    """Settings by the name of a shipped file or by path.

    Raises:
        InputError: see :func:`vla_rl_nodes.contract.load.load_yaml`.
    """
    return load_yaml(named_file("retries", name_or_path), RetrySettings)
