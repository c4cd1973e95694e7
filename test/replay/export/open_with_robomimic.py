"""Run by an interpreter with robomimic: opens a file as its training does and compares the rows.

    python open_with_robomimic.py FILE

Prints the number of samples with each of the file's two masks as one JSON object.
"""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import robomimic.utils.obs_utils as obs_utils
from robomimic.utils.dataset import SequenceDataset

LOW = ["state", "reference"]
IMAGES = ["image_scene", "image_wrist"]
LENGTH = 4


def main() -> None:
    path = sys.argv[1]
    specification = {"obs": {"low_dim": LOW, "rgb": IMAGES}}
    obs_utils.initialize_obs_utils_with_obs_specs([specification])
    found = {}
    for mask in ("train", "valid"):
        dataset = SequenceDataset(
            hdf5_path=path, obs_keys=(*LOW, *IMAGES),
            dataset_keys=("actions", "rewards", "dones"), frame_stack=1, seq_length=LENGTH,
            pad_frame_stack=True, pad_seq_length=True, get_pad_mask=True, goal_mode=None,
            hdf5_cache_mode=None, hdf5_use_swmr=False, hdf5_normalize_obs=False,
            filter_by_attribute=mask, load_next_obs=True,
        )  # fmt: skip
        at = 0
        with h5py.File(path) as file:
            names = sorted((n.decode() for n in file[f"mask/{mask}"]), key=lambda n: int(n[5:]))
            for name in names:
                demo = file[f"data/{name}"]
                for step in range(demo.attrs["num_samples"]):
                    item = dataset[at]
                    at += 1
                    rows = slice(step, step + LENGTH)
                    count = len(demo["actions"][rows])
                    for key, group in (("actions", item), ("rewards", item), ("dones", item)):
                        np.testing.assert_array_equal(group[key][:count], demo[key][rows])
                    for part in ("obs", "next_obs"):
                        for key in (*LOW, *IMAGES):
                            expected = demo[f"{part}/{key}"][rows]
                            np.testing.assert_array_equal(item[part][key][:count], expected)
        assert at == len(dataset)
        found[mask] = at
    print(json.dumps(found))


if __name__ == "__main__":
    main()
