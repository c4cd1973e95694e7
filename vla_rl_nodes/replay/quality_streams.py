"""How regularly the streams of a bag came: gaps, repeated stamps, clocks, what was lost."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.ingest.buffer import FUTURE_TOLERANCE_NS

Stamps = NDArray[np.int64]
_MS = 1e6
_LONG = 1.5  # periods between two samples from which on one is taken to be missing
_REGULAR = 0.25  # periods that a gap may be off a whole number of them
_SHARE = 0.95  # of the gaps that must be so
_PERIODS = 10  # gaps from which on a period is believed
_SAMPLES_FOR_DRIFT = 30  # in each end of a bag; the quickest of them had hardly any delay

_EVENTS = {"diagnostic_msgs/msg/DiagnosticArray", "trajectory_msgs/msg/JointTrajectory"}

# Types that begin with a header, whose stamp is when the sample was captured.
HEADED = {
    f"{package}/msg/{name}"
    for package, names in {
        "sensor_msgs": ("Image", "CompressedImage", "JointState", "Imu"),
        "geometry_msgs": ("WrenchStamped", "TwistStamped", "PoseStamped"),
        "nav_msgs": ("Odometry",),
        "diagnostic_msgs": ("DiagnosticArray",),
        "trajectory_msgs": ("JointTrajectory",),
    }.items()
    for name in names
}


@dataclass(frozen=True)
class Spread:
    """Median, 99th percentile and greatest of some times, ms; None where there are none."""

    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @classmethod
    def of(cls, values_ns: Stamps) -> Spread:
        """Of times in nanoseconds."""
        if not len(values_ns):
            return cls(None, None, None)
        p50, p99 = np.percentile(values_ns, [50, 99]) / _MS
        return cls(float(p50), float(p99), float(values_ns.max()) / _MS)


@dataclass(frozen=True)
class StreamQuality:
    """One topic.

    Attributes:
        messages: how many were recorded.
        rate_hz: mean rate over the capture stamps; None below two.
        gap: between samples, by capture stamp.
        gap_at_ns: where the longest gap begins; None without one.
        missing: samples that are missing in gaps of more than one and a half median periods;
            None where they do not come at regular intervals anyway.
        missing_sequence: messages that the file once held and lost, by its sequence numbers.
        repeated: samples with the stamp of an earlier one.
        backwards: samples that came after one with a later stamp.
        future: samples stamped so far ahead of their publishing that the live nodes refuse them.
        transport: from capture to publishing; negative where the capture clock is ahead.
        transport_min_ms: the shortest of these; None without messages.
        recorder: from publishing to the recorder.
        drift_ms: by how much the capture clock moved against the publisher's over the bag, ms,
            from the quickest samples at either end; None where there are too few.
    """

    messages: int
    rate_hz: float | None
    gap: Spread
    gap_at_ns: int | None
    missing: int | None
    missing_sequence: int
    repeated: int
    backwards: int
    future: int
    transport: Spread
    transport_min_ms: float | None
    recorder: Spread
    drift_ms: float | None


@dataclass
class Times:
    """The times of one topic's messages in order of arrival, ns, and their sequence numbers."""

    type_name: str
    stamp: list[int] = field(default_factory=list)
    publish: list[int] = field(default_factory=list)
    log: list[int] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)


def read_times(reader: EpisodeReader) -> dict[str, Times]:
    """The times of every message of the topics whose messages carry a header."""
    found: dict[str, Times] = {}
    for raw in reader.raw():
        if raw.type_name not in HEADED or len(raw.data) < 12:
            continue
        times = found.setdefault(raw.topic, Times(raw.type_name))
        order = "<" if raw.data[1] else ">"
        seconds, nanoseconds = struct.unpack_from(f"{order}iI", raw.data, 4)
        times.stamp.append(seconds * 1_000_000_000 + nanoseconds)
        times.publish.append(raw.publish_time_ns)
        times.log.append(raw.log_time_ns)
        times.sequence.append(raw.sequence)
    return found


def measure_stream(times: Times) -> StreamQuality:
    """The figures of one topic."""
    stamp, publish, log = (
        np.array(values, dtype=np.int64) for values in (times.stamp, times.publish, times.log)
    )
    unique = np.unique(stamp)
    gaps = np.diff(unique)
    span = int(unique[-1] - unique[0]) if len(unique) else 0
    ahead = np.maximum.accumulate(stamp) if len(stamp) else stamp
    return StreamQuality(
        messages=len(stamp),
        rate_hz=len(gaps) * 1e9 / span if span else None,
        gap=Spread.of(gaps),
        gap_at_ns=int(unique[int(np.argmax(gaps))]) if len(gaps) else None,
        missing=None if times.type_name in _EVENTS else _missing(gaps),
        missing_sequence=_missing_numbers(times.sequence),
        repeated=len(stamp) - len(unique),
        backwards=int((stamp < ahead).sum()),
        future=int((stamp - publish > FUTURE_TOLERANCE_NS).sum()),
        transport=Spread.of(publish - stamp),
        transport_min_ms=float((publish - stamp).min()) / _MS if len(stamp) else None,
        recorder=Spread.of(log - publish),
        drift_ms=_drift(stamp, publish),
    )


def _missing(gaps: Stamps) -> int | None:
    if len(gaps) < _PERIODS:
        return None
    periods = gaps / np.median(gaps)
    whole = np.rint(periods)
    # A gap of a lost sample is a whole number of periods; of an irregular stream it is any.
    if (np.abs(periods - whole) < _REGULAR).mean() < _SHARE or (whole == 0).mean() > 1 - _SHARE:
        return None
    return int((whole[periods > _LONG] - 1).sum())


def _missing_numbers(sequence: Iterable[int]) -> int:
    """Numbers left out; recorders that number nothing write 0 throughout."""
    numbers = set(sequence)
    return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0


def _drift(stamp: Stamps, publish: Stamps) -> float | None:
    third = len(stamp) // 3
    if third < _SAMPLES_FOR_DRIFT:
        return None
    delay = publish - stamp
    # A delay can be longer than usual for many reasons, but not shorter: the shortest tell most.
    first, last = (np.percentile(part, 5) for part in (delay[:third], delay[-third:]))
    return float(first - last) / _MS


def longest_gaps(times: Times, longer_ns: int) -> list[tuple[int, int]]:
    """Beginning and end, ns, of the times without a sample that are longer than so."""
    unique = np.unique(np.array(times.stamp, dtype=np.int64))
    where = np.flatnonzero(np.diff(unique) > longer_ns)
    return [(int(unique[i]), int(unique[i + 1])) for i in where]
