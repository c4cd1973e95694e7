"""The networks of the reward models; normalisation is part of each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.networks import Encoder
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.recipe import JudgeNetwork

_LEAST_SPREAD = 1e-3  # below it a component does not change, and dividing would blow up noise

LARGEST_CRITIC = 100.0
SCORES = 5


class Observer(nn.Module):
    """Streams by key -> features [B, size]: an encoder a camera, vectors in units of spread.

    Attributes:
        keys: of the streams, in the contract's order.
    """

    def __init__(self, contract: Contract, frames: Frames, network: JudgeNetwork) -> None:
        """``frames`` name the streams, and give the mean and spread of vectors."""
        super().__init__()
        streams = [stream for stream in contract.streams if stream.key in frames.streams]
        self.keys = [stream.key for stream in streams]
        self.vectors = [stream.key for stream in streams if stream.kind == "vector"]
        cameras = {s.key: (s.shape[0], s.shape[1]) for s in streams if s.kind == "image"}
        self.encoder = Encoder(cameras, network.channels, network.camera_features)
        mean = spread = torch.zeros(0)
        if self.vectors:
            joined = torch.cat([frames.streams[key] for key in self.vectors], dim=1)
            mean, spread = joined.mean(0), joined.std(0).clamp_min(_LEAST_SPREAD)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.size = self.encoder.size + len(mean)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        parts = []
        if self.encoder.keys:
            parts.append(self.encoder({key: observation[key] for key in self.encoder.keys}))
        if self.vectors:
            vector = torch.cat([observation[key] for key in self.vectors], dim=1)
            parts.append((vector - self.get_buffer("mean")) / self.get_buffer("spread"))
        return torch.cat(parts, dim=1)


def _layers(size: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(size, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, outputs)
    )


class Classifier(nn.Module):
    """Streams -> probability [B] that success is reached."""

    def __init__(self, observer: Observer, width: int) -> None:
        super().__init__()
        self.observer, self.head = observer, _layers(observer.size, width, 1)

    def logits(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Log-odds [B]."""
        result: Tensor = self.head(self.observer(observation))[:, 0]
        return result

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        return torch.sigmoid(self.logits(observation))


class StepsToGo(nn.Module):
    """Streams -> control ticks to success [B] and their spread [B] (arXiv 2509.15155)."""

    def __init__(self, observer: Observer, width: int, longest: float) -> None:
        """``longest`` is the greatest number of ticks trained on: the unit of the layers."""
        super().__init__()
        self.observer, self.head = observer, _layers(observer.size, width, 2)
        self.longest = longest

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        both = nn.functional.softplus(self.head(self.observer(observation))) * self.longest
        return both[:, 0], both[:, 1] + 0.5  # half a tick: a label is no sharper


class PairCritic(nn.Module):
    """Streams before and after -> progress between them, -100 to 100 [B] (arXiv 2509.15937).

    Both observations go through the same encoder. The head speaks in logarithms of shares, which
    add up along an episode: a critic of 90 leaves a tenth of what remained, -90 makes it ten times
    as much, and as errors the two are alike.
    """

    def __init__(self, observer: Observer, width: int) -> None:
        super().__init__()
        self.observer, self.head = observer, _layers(3 * observer.size, width, 1)

    def logs(self, before: Tensor, after: Tensor) -> Tensor:
        """Minus the logarithm of 1 - |critic| / 100, with the critic's sign, [B]; features
        [B, size] each."""
        joined = torch.cat([before, after, after - before], dim=1)
        result: Tensor = self.head(joined)[:, 0]
        return result

    def compare(self, before: Tensor, after: Tensor) -> Tensor:
        """The critic [B] of features [B, size] each."""
        logs = self.logs(before, after)
        return LARGEST_CRITIC * logs.sign() * (1 - torch.exp(-logs.abs()))

    def forward(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Tensor:
        return self.compare(self.observer(before), self.observer(after))


class Rubric(nn.Module):
    """T frames of an episode and its task -> logits of the scores 1 to 5 [B, 5].

    A frame encoder, a recurrent layer over its features, and the task as an embedding that
    scales and shifts what is remembered (FiLM), so that the same frames score differently.
    """

    def __init__(self, observer: Observer, width: int, memory: int, tasks: int) -> None:
        super().__init__()
        self.observer = observer
        self.memory = nn.GRU(observer.size, memory, batch_first=True)
        self.task = nn.Embedding(tasks, 2 * memory)
        self.head = _layers(memory, width, SCORES)

    def forward(self, frames: Mapping[str, Tensor], task: Tensor) -> Tensor:
        """Scores [B, 5] of frames, key -> [B, T, H, W, 3], and the tasks' rows, int64 [B]."""
        batch, length = next(iter(frames.values())).shape[:2]
        flat = {key: value.flatten(0, 1) for key, value in frames.items()}
        features = self.observer(flat).reshape(batch, length, -1)
        remembered = self.memory(features)[0][:, -1]
        scale, shift = self.task(task).chunk(2, dim=1)
        result: Tensor = self.head(remembered * (1 + scale) + shift)
        return result


class Value(nn.Module):
    """Streams -> value [B], of which only differences mean something (arXiv 2505.19767)."""

    def __init__(self, observer: Observer, width: int) -> None:
        super().__init__()
        self.observer, self.head = observer, _layers(observer.size, width, 1)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        result: Tensor = self.head(self.observer(observation))[:, 0]
        return result
