"""Bundles that must not run, offered in an episode: one line each, and the robot goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_bundles import OFFERED, Bad

from .swapping import Swapping, swapping

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def robot(folder: Path) -> Iterator[Swapping]:
    with swapping(folder, trial_processor_s=2.0) as running:
        yield running


@pytest.mark.parametrize("bad", OFFERED, ids=[case.name for case in OFFERED])
def test_it_is_refused_in_words_and_the_old_policy_goes_on(robot: Swapping, bad: Bad) -> None:
    path = bad.make(robot.maker, bad.name)
    episode_id = robot.keep_running()
    told, ticked = len(robot.news), len(robot.ticks)
    answer = robot.ask(path)
    refused = robot.heard("refused", told, 40.0)
    # What the files say is the parameter's answer, unless reading them took very long.
    assert answer in ("", refused.values["reason"])
    if answer:
        assert bad.files
    line = refused.values["reason"]
    assert line.startswith(str(path)) and "; " in line and "\n" not in line
    assert bad.said in line
    assert refused.values["serving"] == robot.version
    assert refused.values["phase"] == "serving" and refused.values["candidate"] == ""

    robot.graph.wait(
        lambda: len(robot.ticks) >= ticked + 2 or robot.state() != "running", 5.0, "ticks"
    )
    robot.graph.processes.check()
    meanwhile = [e for e in robot.ticks[ticked:] if e.values["episode_id"] == episode_id]
    for tick in meanwhile:
        assert tick.hardware_id == robot.version
        assert tick.values.get("starved", "0") == "0"
        assert "blind" not in tick.values
        assert tick.values["skipped_ticks"] == meanwhile[0].values["skipped_ticks"]
    shutil.rmtree(path, ignore_errors=True)


def test_a_path_that_leads_nowhere_is_refused_in_the_answer(robot: Swapping) -> None:
    assert robot.ask(Path("~nobody_at_all/bundle")) == (
        "~nobody_at_all/bundle: names no user's home; give the whole path"
    )


def test_after_all_of_them_the_first_policy_still_serves(robot: Swapping) -> None:
    ticks = robot.ticks_of(robot.whole_episode())
    assert len(ticks) > 20
    assert {e.hardware_id for e in ticks} == {robot.version}
    versions = {e.values["chunk_version"] for e in ticks if "chunk_version" in e.values}
    assert versions == {robot.version}
    assert "Traceback" not in robot.graph.log("policy")
