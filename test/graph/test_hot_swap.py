"""New bundles in a running graph: shadow, take-over between episodes, confirmation, way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import student

from vla_rl_nodes.nodes.event import Event

from .swapping import Swapping, swapping

pytestmark = pytest.mark.graph

SHADOW_CHUNKS = 6
ADDED_S = 0.06  # inference takes longer than a tick, so that something is always committed
LOGGED = (
    "chunk_id", "chunk_index", "chunk_version", "delay", "prefix_length", "noise_seed",
    "inference_ms", "prefix_error", "observation_age_ms", "seam_step", "seam_bend", "seam_jerk",
    "inner_step_p95", "inner_bend_p95", "inner_jerk_p95", "starved", "late_chunks", "lost_chunks",
    "lateness_ms", "skipped_ticks",
)  # fmt: skip

FAULTS = ("starved", "late_chunks", "lost_chunks", "skipped_ticks")


@pytest.fixture(scope="module")
def robot(folder: Path) -> Iterator[Swapping]:
    with swapping(
        folder, shadow_chunks=SHADOW_CHUNKS, trial_episodes=1, added_latency_s=ADDED_S
    ) as running:
        yield running


def chunk_versions(ticks: list[Event]) -> list[str]:
    """Version of the chunk that each action came from."""
    return [e.values["chunk_version"] for e in ticks if "chunk_version" in e.values]


def starved(ticks: list[Event]) -> int:
    """Ticks without an action after the first one of their episode."""
    return sum(int(e.values.get("starved", "0")) for e in ticks)


def shadowed(robot: Swapping, path: Path) -> tuple[str, str, Event]:
    """Offers a bundle in a running episode and lets episodes pass until it is ready.

    Returns:
        The version that serves, the version that was offered, and the event that it is ready.
    """
    robot.keep_running()
    told = len(robot.news)
    assert robot.ask(path) == ""
    robot.heard("shadowing", told, 120.0)  # a busy machine leaves little for the trial run
    ready = None
    while ready is None:
        robot.keep_running()
        robot.end()
        ready = next((e for e in robot.news[told:] if e.message != "shadowing"
                      and e.message != "loading"), None)  # fmt: skip
    assert ready.message == "ready", ready.values["reason"]
    assert int(ready.values["shadow_chunks"]) == SHADOW_CHUNKS
    return ready.values["serving"], ready.values["candidate"], ready


def test_every_tick_says_where_its_chunk_came_from(robot: Swapping) -> None:
    def ticks_on_time() -> list[Event]:
        """Of an episode in which the machine kept up; a chunk too late is joined otherwise."""
        ticks = robot.ticks_of(robot.whole_episode())
        faults = [sum(int(e.values.get(key, "0")) for key in FAULTS) for e in ticks]
        return ticks if faults[0] == faults[-1] else []

    ticks = next(ticks for ticks in (ticks_on_time() for _ in range(4)) if ticks)
    joins = [k for k in range(1, len(ticks)) if ticks[k].values.get("chunk_index") is not None
             and ticks[k].values["chunk_id"] != ticks[k - 1].values.get("chunk_id")]  # fmt: skip
    assert len(joins) > 5
    for k in joins[1:]:  # the first chunk comes from rest
        values = ticks[k].values
        assert all(values[key] for key in LOGGED)
        assert float(values["inference_ms"]) >= 1e3 * ADDED_S
        assert int(values["delay"]) >= 2 and float(values["prefix_error"]) == 0.0
        assert int(values["chunk_index"]) == int(values["delay"])
        # One action is taken at each tick, so the chunk was asked for so many ticks before.
        asked = ticks[k - int(values["delay"])].values
        oldest = min(int(v) for key, v in asked.items() if key.startswith("stamp."))
        assert float(values["observation_age_ms"]) == pytest.approx(
            (ticks[k].stamp_ns - oldest) / 1e6, abs=1e-3
        )


def test_the_same_network_signed_anew_takes_over_and_is_confirmed(robot: Swapping) -> None:
    first = len(robot.ticks)
    old, new, ready = shadowed(robot, robot.maker("same-network"))
    assert old == robot.version != new
    # Same weights, same jobs, same noise: the same chunks.
    assert float(ready.values["shadow_difference_max"]) == 0.0
    assert set(chunk_versions(robot.ticks[first:])) == {old}

    told = len(robot.news)
    episode_id = robot.whole_episode()
    trial = robot.heard("trial", told)
    assert (trial.values["serving"], trial.values["standby"]) == (new, old)
    confirmed = robot.heard("confirmed", told)
    assert (confirmed.values["serving"], confirmed.values["standby"]) == (new, "")
    ticks = robot.ticks_of(episode_id)
    assert set(chunk_versions(ticks)) == {new} and len(ticks) > 20
    assert starved(ticks) == 0


def ended_trial(robot: Swapping, name: str) -> tuple[str, list[Event]]:
    """Another network goes into service and is taken out of it in the middle of its first episode.

    Returns:
        Its version, and the ticks of that episode; none if the machine's stall ended it early.
    """
    other = student(robot.maker.contract, gain=0.0005, level=0.05)
    _, new, ready = shadowed(robot, robot.maker(name, other))
    assert float(ready.values["shadow_difference_max"]) > 0.05
    told = len(robot.news)
    episode_id = robot.begin()
    robot.heard("trial", told)
    # While it is on trial no third one is taken.
    assert "is still on trial; wait" in robot.ask(robot.maker(f"third-beside-{name}"))
    served = robot.goes_on(10)
    # Asking for the old one ends the trial, in the middle of the episode.
    assert robot.ask(robot.maker.folder / "same-network") == ""
    assert "operator" in robot.heard("rolled back", told).values["reason"]
    assert "was rolled back" in robot.ask(robot.maker.folder / name)
    return new, robot.ticks_of(episode_id) if served and robot.goes_on(20) else []


def test_another_network_is_compared_in_the_shadow_and_serves_what_it_makes(
    robot: Swapping,
) -> None:
    trials = (ended_trial(robot, f"other-network-{number}") for number in range(3))
    new, ticks = next(trial for trial in trials if trial[1])
    versions = chunk_versions(ticks)
    old = versions[-1]
    assert versions == [new] * versions.count(new) + [old] * versions.count(old)
    assert min(versions.count(new), versions.count(old)) > 5 and new != old
    assert starved(ticks) == 0


def failed_trial(robot: Swapping, name: str) -> tuple[str, str, list[Event]]:
    """A network that gives no number once it sees its own actions as prefix goes into service.

    Returns:
        The version before it, its own, and the ticks of its episode; none if the machine's stall
        ended it early.
    """
    trap = student(robot.maker.contract, gain=0.0, level=0.11, fails_on_itself=True)
    old, new, _ = shadowed(robot, robot.maker(name, trap))
    told = len(robot.news)
    episode_id = robot.begin()
    back = robot.heard("rolled back", told)
    assert back.values["version"] == new and back.values["serving"] == old
    assert "policy.onnx: gave a chunk that is not finite" in back.values["reason"]
    assert "was rolled back" in robot.ask(robot.maker.folder / name)
    return old, new, robot.ticks_of(episode_id) if robot.goes_on(20) else []


def test_a_bundle_that_fails_in_service_is_rolled_back_while_the_robot_goes_on(
    robot: Swapping,
) -> None:
    trials = (failed_trial(robot, f"trap-{number}") for number in range(3))
    old, new, ticks = next(trial for trial in trials if trial[2])
    versions = chunk_versions(ticks)
    assert versions == [new] * versions.count(new) + [old] * versions.count(old)
    assert versions.count(new) > 3 and versions.count(old) > 15
    assert starved(ticks) == 0
    # From the first action on there is one at every tick, and the old policy continued what the
    # new one had committed.
    numbers = [int(e.values["tick"]) for e in ticks if "chunk_version" in e.values]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    joined = ticks[numbers[0] + versions.count(new)]
    assert joined.values["chunk_version"] == old
    assert int(joined.values["prefix_length"]) >= 1
    assert float(joined.values["prefix_error"]) == 0.0
    assert "Traceback" not in robot.graph.log("policy")
