"""`vla-rl replay export` and `vla-rl replay import`: options to a writer or a reader."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export.source import Counts, Episodes, open_episodes

Item = TypeVar("Item")


def export_command(options: argparse.Namespace) -> int:
    """Converted episodes to one dataset; 0 when it is whole.

    Raises:
        InputError: an option, an episode or the output folder is not as it must be.
    """
    episodes = open_episodes(options.episodes)
    episodes.watch = _shown
    counts = _write(episodes, options.format, options.out, options.images)
    result = {
        "out": str(options.out),
        "format": options.format,
        "left_out": episodes.left_out,
        **asdict(counts),
    }
    if options.json:
        print(json.dumps(result, sort_keys=True))
        return 0
    print(
        f"{options.out}: {counts.exported} of {counts.steps} steps of {counts.episodes} episodes"
        f" in {counts.runs} runs; {counts.dropped_without_action} had no executed action,"
        f" {counts.cuts_at_gap} cuts at missing ticks, {counts.rewards_missing} without a reward"
    )
    if episodes.left_out:
        print(f"left out, as not all episodes have them: {', '.join(episodes.left_out)}")
    if counts.critiques_left_out:
        of = f"{counts.critiques_left_out} of {counts.critiques} critiques"
        print(f"left out: {of}, which are of no step that is exported")
    return 0


def _shown(found: Iterable[Item], what: str, total: int) -> Iterable[Item]:
    """The same, with a progress bar for a person who watches."""
    console = Console(stderr=True)
    hidden = not sys.stderr.isatty()
    return track(found, what, total, console=console, transient=True, disable=hidden)


def _write(episodes: Episodes, form: str, out: Path, images: str | None) -> Counts:
    # Only here: pyarrow, h5py and google_crc32c are the learner's packages, not the robot's.
    if form == "lerobot":
        from vla_rl_nodes.replay.export.lerobot_write import write_lerobot

        if images not in (None, "png", "jpeg", "video"):
            raise InputError("--images", f"is '{images}'", "give png, jpeg or video")
        return write_lerobot(episodes, out, images or "png")  # type: ignore[arg-type]
    if form == "rlds":
        from vla_rl_nodes.replay.export.rlds import write_rlds

        if images not in (None, "png", "jpeg"):
            raise InputError("--images", f"is '{images}'", "give png or jpeg for rlds")
        return write_rlds(episodes, out, images or "png")  # type: ignore[arg-type]
    if form == "robomimic":
        from vla_rl_nodes.replay.export.robomimic import write_robomimic

        if images not in (None, "png"):
            raise InputError(
                "--images", f"is '{images}'", "leave it out: robomimic's images are raw"
            )
        return write_robomimic(episodes, out)
    raise InputError("--format", f"is '{form}'", "give lerobot, robomimic or rlds")


def import_command(options: argparse.Namespace) -> int:
    """A LeRobotDataset v3 to folders of episodes; 2 when one of them could not be read.

    Raises:
        InputError: the dataset does not fit the contract, or is damaged as a whole.
    """
    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.replay.export.lerobot_import import LeRobotImport
    from vla_rl_nodes.replay.export.lerobot_read import LeRobotFolder
    from vla_rl_nodes.replay.export.mapping import load_mapping, plan
    from vla_rl_nodes.replay.folder import write_episode

    contract = load_contract(options.contract)
    dataset = LeRobotFolder(options.dataset)
    mapping = load_mapping(options.mapping)
    folders: list[str] = []
    problems: list[str] = []
    steps = 0
    episodes = LeRobotImport(dataset, plan(dataset, contract, mapping)).episodes()
    for episode in _shown(episodes, "importing", len(dataset.entries)):
        try:
            if isinstance(episode, InputError):
                raise episode
            folders.append(str(write_episode(episode, options.out)))
            steps += episode.header.steps
        except InputError as error:  # one bad episode keeps no other from being imported
            problems.append(str(error))
    if options.json:
        result: dict[str, Any] = {"episodes": folders, "problems": problems, "steps": steps}
        print(json.dumps(result, sort_keys=True))
    elif folders:
        print("\n".join(folders))
    for problem in problems:
        print(f"vla-rl: {problem}", file=sys.stderr)
    return 2 if problems else 0
