"""Run by LeRobot's own interpreter: writes frames with LeRobot's own writer and times it.

    python write_with_lerobot.py FRAMES.npz OUT image|video

FRAMES.npz holds ``state``, ``action``, ``image_scene`` and ``image_wrist`` [n, ...], and in
``starts`` the first frame of each episode. Prints the frames a second as one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402


def main() -> None:
    source, out, kind = sys.argv[1:]
    with np.load(source) as file:
        data = {name: file[name] for name in file.files}
    starts = set(data.pop("starts").tolist())
    names = ["height", "width", "channels"]
    features = {
        "observation.state": {
            "dtype": "float32", "shape": data["state"].shape[1:], "names": None,
        },
        "action": {"dtype": "float32", "shape": data["action"].shape[1:], "names": None},
        **{
            f"observation.images.{camera}": {
                "dtype": kind, "shape": data[f"image_{camera}"].shape[1:], "names": names,
            }
            for camera in ("scene", "wrist")
        },
    }  # fmt: skip
    started = time.perf_counter()
    dataset = LeRobotDataset.create(
        "local/own", fps=30, features=features, root=Path(out), use_videos=kind == "video"
    )
    for number in range(len(data["action"])):
        if number and number in starts:
            dataset.save_episode()
        dataset.add_frame(
            {
                "observation.state": data["state"][number],
                "action": data["action"][number],
                "observation.images.scene": data["image_scene"][number],
                "observation.images.wrist": data["image_wrist"][number],
                "task": "move the shapes",
            }
        )
    dataset.save_episode()
    dataset.finalize()
    rate = len(data["action"]) / (time.perf_counter() - started)
    print(json.dumps({"frames_s": rate}))


if __name__ == "__main__":
    main()
