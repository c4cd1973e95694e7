"""Run by LeRobot's own interpreter: opens a dataset offline and writes what it gave to an .npz.

python open_with_lerobot.py DATASET OUT.npz
"""

from __future__ import annotations

import sys

import numpy as np
import torch

# torchvision without its compiled operators, which LeRobot does not use, still looks this one up.
_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from lerobot.datasets.utils import dataset_to_policy_features  # noqa: E402


def main() -> None:
    root, out = sys.argv[1:]
    dataset = LeRobotDataset("local/export", root=root, video_backend="pyav")
    items = [dataset[i] for i in range(len(dataset))]
    found = {
        key: np.stack([np.asarray(item[key]) for item in items])
        for key in items[0]
        if key != "task"
    }
    found["task"] = np.array([item["task"] for item in items])
    found["episodes"] = np.array(
        [[e["dataset_from_index"], e["dataset_to_index"]] for e in dataset.meta.episodes]
    )
    for name, figures in dataset.meta.stats.items():
        for figure, value in figures.items():
            found[f"stats/{name}/{figure}"] = value
    kinds = dataset_to_policy_features(dataset.meta.features)
    found["policy"] = np.array(sorted(f"{key} {kind.type.value}" for key, kind in kinds.items()))
    # Chunks of actions, as a policy is trained on them: never past the end of an episode.
    fps = dataset.meta.fps
    chunked = LeRobotDataset(
        "local/export", root=root, video_backend="pyav",
        delta_timestamps={"action": [i / fps for i in range(4)]},
    )  # fmt: skip
    chunks = [chunked[i] for i in range(len(chunked))]
    found["chunks"] = np.stack([np.asarray(c["action"]) for c in chunks])
    found["chunks_pad"] = np.stack([np.asarray(c["action_is_pad"]) for c in chunks])
    np.savez(out, **found)


if __name__ == "__main__":
    main()
