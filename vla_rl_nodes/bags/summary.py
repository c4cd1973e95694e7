"""What is in a bag, in a few lines, closed or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.bags.reader import EpisodeReader


@dataclass(frozen=True)
class TopicSummary:
    """One topic: its type, its messages and their mean rate in hertz (None below two)."""

    name: str
    type_name: str
    count: int
    rate_hz: float | None


@dataclass(frozen=True)
class BagSummary:
    """A bag as ``bag info`` shows it. Times are log times: nanoseconds, the duration seconds."""

    path: str
    closed: bool
    problem: str | None
    episode_id: str | None
    outcome: str | None
    size_bytes: int
    messages: int
    start_ns: int | None
    duration_s: float
    topics: tuple[TopicSummary, ...]
    dropped: dict[str, int]
    metadata: dict[str, str]


def summarise(path: Path) -> BagSummary:
    """Counts what is intact in a bag; ``problem`` says why a bag is not closed.

    Raises:
        InputError: there is no bag at that path.
    """
    reader = EpisodeReader(path, partial=True)
    topics = reader.topics
    start = min((t.first_ns for t in topics.values()), default=None)
    end = max((t.last_ns for t in topics.values()), default=None)
    metadata = dict(reader.metadata)
    episode_id = metadata.pop("episode_id", None)
    outcome = metadata.pop("outcome", None)
    return BagSummary(
        path=str(path),
        closed=reader.closed,
        problem=reader.problem,
        episode_id=episode_id,
        outcome=outcome,
        size_bytes=sum(file.stat().st_size for file in reader.files),
        messages=sum(t.count for t in topics.values()),
        start_ns=start,
        duration_s=0.0 if start is None or end is None else (end - start) / 1e9,
        topics=tuple(
            TopicSummary(
                name,
                topic.type_name,
                topic.count,
                None
                if topic.count < 2 or topic.last_ns == topic.first_ns
                else (topic.count - 1) * 1e9 / (topic.last_ns - topic.first_ns),
            )
            for name, topic in sorted(topics.items())
        ),
        dropped={} if reader.manifest is None else dict(reader.manifest.dropped),
        metadata=metadata,
    )
