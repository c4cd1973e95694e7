"""Run by an interpreter with TensorFlow Datasets: opens a folder and writes what it gave.

python open_with_tfds.py FOLDER OUT.npz
"""

from __future__ import annotations

import sys

import numpy as np
import tensorflow_datasets as tfds


def main() -> None:
    folder, out = sys.argv[1:]
    builder = tfds.builder_from_directory(folder)
    found: dict[str, np.ndarray] = {}
    for number, episode in enumerate(tfds.as_numpy(builder.as_dataset(split="train"))):
        for name, value in episode["episode_metadata"].items():
            found[f"{number}/metadata/{name}"] = np.array(value)
        rows: dict[str, list[np.ndarray]] = {}
        for step in episode["steps"]:
            observation = step.pop("observation")
            flat = {**step, **{f"observation/{k}": v for k, v in observation.items()}}
            for name, value in flat.items():
                rows.setdefault(name, []).append(np.asarray(value))
        found |= {f"{number}/{name}": np.stack(values) for name, values in rows.items()}
    found["episodes"] = np.array(builder.info.splits["train"].num_examples)
    np.savez(out, **found)


if __name__ == "__main__":
    main()
