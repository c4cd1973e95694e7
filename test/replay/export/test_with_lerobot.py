"""LeRobot itself opens what is written here; minutes, and packages from PyPI.

pytest -s -m nightly test/replay/export/test_with_lerobot.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.bench.replay.export import STEPS, synthetic_episode
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.convert import convert_episode
from vla_rl_nodes.replay.export.lerobot_write import write_lerobot
from vla_rl_nodes.replay.export.source import Run, open_episodes
from vla_rl_nodes.replay.folder import write_episode

from ..episode_bag import MS, criticise, make_episode
from ..spoken import HARD
from .own_environment import build, run

pytestmark = pytest.mark.nightly
BAG = Path(__file__).resolve().parents[3] / "bags" / "franka_pick_sample"
PYAV = "av>=15,<16"


@pytest.fixture(scope="module")
def lerobot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its Python."""
    return build(
        tmp_path_factory.mktemp("lerobot") / "venv",
        ["torch==2.13.0"],
        [
            "datasets>=4,<5", "huggingface-hub<0.36", PYAV, "draccus==0.10.0", "jsonlines",
            "einops", "opencv-python-headless<4.13", "packaging<26", "termcolor", "deepdiff",
            "imageio", "gymnasium<2", "accelerate<2",
        ],
        ["--no-deps", "lerobot==0.4.4", "torchvision==0.25.0"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def pyav(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has installed PyAV for this package, too."""
    folder = tmp_path_factory.mktemp("pyav")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", folder, PYAV], check=True)
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The recorded episode, and two with holes of which hard words were said."""
    place, contract = tmp_path_factory.mktemp("episodes"), load_contract("franka_pick")
    bags = [BAG]
    for seed in (1, 2):
        episode = make_episode(seed, contract=contract)
        for number, text in enumerate(HARD):
            criticise(episode, episode.ticks[number % 20] + MS, text, code=number)
        bags.append(episode.write(place / f"bag-{seed}"))
    return [convert_episode(bag, contract, place / "replay") for bag in bags]


def opened(python: Path, dataset: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    run(python, "open_with_lerobot.py", dataset, tmp_path / "out.npz", cache=tmp_path / "hf")
    with np.load(tmp_path / "out.npz") as file:
        return {name: file[name] for name in file.files}


def _check_numbers(found: dict[str, np.ndarray], runs: list[Run]) -> None:
    frames = 0
    for number, steps in enumerate(runs):
        rows = slice(frames, frames + steps.length)
        frames += steps.length
        assert found["episodes"][number].tolist() == [rows.start, rows.stop]
        for feature, name in (
            ("action", "action_executed"), ("next.reward", "reward"),
            ("next.terminated", "terminated"), ("next.truncated", "truncated"),
            ("complementary_info.stamp_ns", "stamp_ns"),
            ("complementary_info.action_proposed", "action_proposed"),
            ("complementary_info.is_intervention", "intervened"),
            ("complementary_info.safety_reasons", "safety_reasons"),
            ("complementary_info.noise_seed", "noise_seed"),
            ("complementary_info.chunk", "chunk"),
        ):  # fmt: skip
            np.testing.assert_array_equal(found[feature][rows], steps.steps[name], feature)
        for key in ("state", "reference"):
            expected = steps.observations[key][:-1]
            assert found[f"observation.{key}"][rows].tobytes() == expected.tobytes()
        np.testing.assert_array_equal(found["frame_index"][rows], np.arange(steps.length))
        assert set(found["task"][rows]) == {steps.header.task}
        said = found["complementary_info.critiques"][rows].tolist()
        assert said == list(steps.critiques)
        # A chunk of actions ends with its episode, and the rest of it is marked as padding.
        for step in range(steps.length):
            left = min(4, steps.length - step)
            chunk = found["chunks"][rows.start + step]
            expected = steps.steps["action_executed"][step : step + left]
            np.testing.assert_array_equal(chunk[:left], expected)
            pad = found["chunks_pad"][rows.start + step].tolist()
            assert pad == [False] * left + [True] * (4 - left)
    assert frames == len(found["action"])
    assert found["policy"].tolist() == [
        "action ACTION", "observation.images.scene VISUAL", "observation.images.wrist VISUAL",
        "observation.reference STATE", "observation.state STATE",
    ]  # fmt: skip


def _pixels(found: np.ndarray) -> np.ndarray:
    """LeRobot's [n, 3, height, width] in 0 to 1 as [n, height, width, 3] uint8."""
    return np.round(found.transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def test_lerobot_returns_every_bit_of_png_images_and_vectors(
    lerobot: Path, sources: list[Path], tmp_path: Path
) -> None:
    write_lerobot(open_episodes(sources), tmp_path / "dataset", "png")
    found = opened(lerobot, tmp_path / "dataset", tmp_path)
    runs = list(open_episodes(sources).runs())
    _check_numbers(found, runs)
    for camera in ("scene", "wrist"):
        expected = np.concatenate([r.observations[f"image_{camera}"][:-1] for r in runs])
        feature = f"observation.images.{camera}"
        np.testing.assert_array_equal(_pixels(found[feature]), expected)
        mean = (expected / 255).mean(axis=(0, 1, 2))
        np.testing.assert_allclose(found[f"stats/{feature}/mean"].reshape(3), mean, rtol=1e-9)


def _export_video(sources: list[Path], out: Path, environment: dict[str, str]) -> None:
    code = (
        "import sys; from argparse import Namespace; from pathlib import Path\n"
        "from vla_rl_nodes.replay.export.command import export_command\n"
        "out, *episodes = map(Path, sys.argv[1:])\n"
        "sys.exit(export_command(Namespace(episodes=episodes, format='lerobot', out=out,"
        " images='video', json=True)))"
    )
    subprocess.run([sys.executable, "-c", code, out, *sources], env=environment, check=True)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two episodes in which every frame differs from its neighbours."""
    place = tmp_path_factory.mktemp("films")
    return [write_episode(synthetic_episode(i, f"film-{i}"), place) for i in range(2)]


def test_lerobot_returns_the_right_frames_of_videos(
    lerobot: Path, films: list[Path], pyav: dict[str, str], tmp_path: Path
) -> None:
    _export_video(films, tmp_path / "dataset", pyav)
    found = opened(lerobot, tmp_path / "dataset", tmp_path)
    runs = list(open_episodes(films).runs())
    compared = 0
    for camera in ("scene", "wrist"):
        expected = np.concatenate([r.observations[f"image_{camera}"][:-1] for r in runs])
        frames = _pixels(found[f"observation.images.{camera}"]).astype(np.int16)
        assert frames.shape == expected.shape
        error = float(np.abs(frames - expected).mean())
        print(f"video, {camera}: mean error {error:.2f} of 255")
        assert error < 6
        for index in range(len(frames)):
            for other in {max(index - 1, 0), min(index + 1, len(frames) - 1)} - {index}:
                # Where the two differ, a frame is nearer to its own than to the one beside it.
                apart = np.abs(expected[index].astype(np.int16) - expected[other]) > 30
                own = np.abs(frames[index] - expected[index])[apart].mean()
                assert own < np.abs(frames[index] - expected[other])[apart].mean()
                compared += 1
    assert compared > 1000


def test_a_video_is_imported(
    films: list[Path], pyav: dict[str, str], tmp_path: Path, small: Contract
) -> None:
    _export_video(films, tmp_path / "dataset", pyav)
    data = small.model_dump()
    data["observation"] = [s for s in data["observation"] if s["key"] != "reference"]
    for stream in data["observation"]:
        if stream["key"] == "state":
            stream["transforms"] = [{"select": [{"name": f"x{i}", "unit": "1"} for i in range(7)]}]
        else:
            stream["transforms"] = [{"resize": {"width": 128, "height": 128}}]
            stream["source"] |= {"width": 128, "height": 128}
    axis = {"unit": "rad", "minimum": -9.0, "maximum": 9.0}
    data["action"] |= {
        "kind": "joint_position", "axes": [{**axis, "name": f"axis_{i}"} for i in range(7)],
    }  # fmt: skip
    data["rates"] = {"policy_hz": 30, "filter_hz": 300}
    contract, mapping = tmp_path / "contract.yaml", tmp_path / "mapping.yaml"
    contract.write_text(json.dumps(Contract.model_validate(data).model_dump(exclude_none=True)))
    names = [f"x{i}" for i in range(7)]
    state = {"feature": "observation.state", "names": names, "units": ["1"] * 7}
    action = {"feature": "action", "units": ["rad"] * 7}
    mapping.write_text(
        json.dumps({"mapping": 1, "robot": "bench", "streams": {"state": state}, "action": action})
    )
    code = (
        "import sys; from argparse import Namespace; from pathlib import Path\n"
        "from vla_rl_nodes.replay.export.command import import_command\n"
        "d, out, c, m = sys.argv[1:]\n"
        "sys.exit(import_command(Namespace(dataset=Path(d), out=Path(out), contract=c,"
        " mapping=Path(m), json=True)))"
    )
    arguments = [tmp_path / "dataset", tmp_path / "back", contract, mapping]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=pyav, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    back = [Path(name) for name in json.loads(done.stdout)["episodes"]]
    for original, run_back in zip(
        open_episodes(films).runs(), open_episodes(back).runs(), strict=True
    ):
        np.testing.assert_array_equal(
            run_back.steps["action_executed"], original.steps["action_executed"]
        )
        assert run_back.steps["reward"].tolist() == original.steps["reward"].tolist()
        frames = run_back.observations["image_wrist"].astype(np.int16)
        error = np.abs(frames - original.observations["image_wrist"]).mean()
        assert error < 6
        last = run_back.observations["image_wrist"][-1]  # kept beside the video, as it was
        np.testing.assert_array_equal(last, original.observations["image_wrist"][-1])


def test_beside_lerobot_s_own_writer(
    lerobot: Path, films: list[Path], pyav: dict[str, str], tmp_path: Path
) -> None:
    """Prints frames a second of both on the same frames; a frame is a step with two images."""
    runs = list(open_episodes(films).runs())
    seen = {
        key: np.concatenate([r.observations[key][:-1] for r in runs])
        for key in ("state", "image_scene", "image_wrist")
    }
    action = np.concatenate([r.steps["action_executed"] for r in runs])
    np.savez(tmp_path / "frames.npz", action=action, starts=[0, STEPS], **seen)
    rates: dict[str, Any] = {}
    for repeat in range(3):
        for theirs, ours in (("image", "png"), ("video", "video")):
            out = tmp_path / f"theirs-{theirs}-{repeat}"
            text = run(
                lerobot, "write_with_lerobot.py", tmp_path / "frames.npz", out, theirs,
                cache=tmp_path / "hf",
            )  # fmt: skip
            rate = json.loads(text.splitlines()[-1])["frames_s"]
            rates.setdefault(f"lerobot {theirs}", []).append(rate)
            out = tmp_path / f"ours-{ours}-{repeat}"
            code = (
                "import sys, time; from pathlib import Path\n"
                "from vla_rl_nodes.replay.export.lerobot_write import write_lerobot\n"
                "from vla_rl_nodes.replay.export.source import open_episodes\n"
                "images, out, *episodes = sys.argv[1:]\n"
                "start = time.perf_counter()\n"
                "found = write_lerobot(open_episodes([*map(Path, episodes)]), Path(out), images)\n"
                "print(found.exported / (time.perf_counter() - start))"
            )
            command = [sys.executable, "-c", code, ours, out, *films]
            done = subprocess.run(command, env=pyav, capture_output=True, check=True)
            rates.setdefault(f"ours {ours}", []).append(float(done.stdout))
    for name, found in rates.items():
        print(f"{name}: {', '.join(f'{rate:.0f}' for rate in found)} frames/s")
    for ours, theirs in (("ours png", "lerobot image"), ("ours video", "lerobot video")):
        print(f"{ours}: {max(rates[ours]) / max(rates[theirs]):.1f} times {theirs}")
    assert all(rate > 0 for found in rates.values() for rate in found)
