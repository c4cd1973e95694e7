"""Which strategy makes and joins the chunks, and its numbers: config/chunking/*.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Positive, Strict

Candidates = Annotated[int, Field(ge=1, le=256)]
Ratio = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Prefix(Strict):
    """Continue the committed actions: training-time conditioning (arXiv 2512.05964)."""

    name: Literal["prefix"]
    sampler: Literal["student", "teacher"] = "student"


class BestOfN(Strict):
    """Draw several chunks and keep one.

    ``prefix_error``: the one nearest to the committed actions, of unconditioned samples, for
    policies that were not trained with a prefix. The other scores rank prefix-conditioned
    samples: ``critic`` draws with probability softmax(value / temperature) (V-GPS, arXiv
    2410.13816), the best at temperature 0; ``novelty`` takes the most familiar (TACO, arXiv
    2512.02834); ``outcome`` takes the likeliest success and stops drawing when another draw is
    not worth its cost (ZIP-RC, arXiv 2512.01457).
    """

    name: Literal["best_of_n"]
    samples: Candidates = 16
    score: Literal["prefix_error", "critic", "novelty", "outcome"] = "prefix_error"
    temperature: NotNegative = 0.0
    cost: NotNegative = 0.0


class Guidance(Strict):
    """Inference-time real-time chunking of a multi-step flow policy (arXiv 2506.07339)."""

    name: Literal["guidance"]
    steps: Annotated[int, Field(ge=1, le=1000)] = 5
    largest_weight: Positive = 5.0
    jacobian: Literal["full", "identity"] = "full"


class Sync(Strict):
    """Stand still during every inference."""

    name: Literal["sync"]


class NaiveAsync(Strict):
    """Switch to whatever arrives, without regard to what was committed."""

    name: Literal["naive_async"]


class TemporalEnsemble(Strict):
    """Average all chunks that cover a tick (ACT, arXiv 2304.13705)."""

    name: Literal["temporal_ensemble"]
    decay: NotNegative = 0.01


class Bid(Strict):
    """Bidirectional decoding (arXiv 2408.17355): coherent with the last chunk, near to the likely
    samples and far from a weaker policy's."""

    name: Literal["bid"]
    samples: Candidates = 16
    kept: Candidates = 4
    decay: Ratio = 0.9


Choice = Annotated[
    Prefix | BestOfN | Guidance | Sync | NaiveAsync | TemporalEnsemble | Bid,
    Field(discriminator="name"),
]


class ChunkingSettings(Strict):
    """One strategy and how often it is asked.

    Attributes:
        strategy: which one, with its numbers.
        replan_every: actions executed between two requests, s; longer where the delay is.
        answer_timeout_s: a request without an answer for so long is given up.
    """

    chunking: Literal[1]
    strategy: Choice
    replan_every: Annotated[int, Field(ge=1, le=256)]
    answer_timeout_s: Positive = 2.0


def load_chunking(name_or_path: str | Path) -> ChunkingSettings:
    """Settings by the name of a shipped file (``prefix``) or by path.

    Raises:
        InputError: see contract.load.load_yaml.
    """
    return load_yaml(named_file("chunking", name_or_path), ChunkingSettings)
