"""Policy bundles for tests: the shipped one signed anew, and students written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from policy.onnx_writer import Value, model, node

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.bundle import MANIFEST, MODEL, sign_bundle, write_bundle
from vla_rl_nodes.policy.manifest import Training
from vla_rl_nodes.policy.signing import create_key, load_key
from vla_rl_nodes.resources import resource

TRAINING = Training(
    seed=0, data_sha256="0" * 64, episodes=3, windows=90, parameters=1, metrics={"error": 0.5}
)
RECIPE = b"name: test\n"


def shipped_model(contract: Contract) -> bytes:
    """The policy that is shipped for a contract."""
    return (resource(f"config/policies/{contract.name}") / MODEL).read_bytes()


def student(
    contract: Contract,
    *,
    gain: float = 0.002,
    level: float = 0.0,
    fails_on_itself: bool = False,
    keep_prefix: bool = True,
    bounded: bool = True,
    change: Callable[[dict[str, Any]], None] = lambda parts: None,
) -> bytes:
    """Noise times a gain plus a level, with the prefix in front.

    Args:
        contract: gives inputs, shapes and bounds.
        gain: of the noise; NaN or infinity makes the output so.
        level: added to all actions, as a share of the upper bound.
        fails_on_itself: whether a prefix that holds ``level`` makes the output not a number: what
            no shadow shows, because there the prefix is another policy's. With ``gain`` 0.
        keep_prefix: whether committed rows are kept.
        bounded: whether the chunk is clipped to the contract's bounds.
        change: of the arguments of onnx_writer.model.
    """
    action = contract.action
    chunk: list[int | str] = ["batch", action.chunk_length, len(action.names)]
    inputs: dict[str, Value] = {
        s.key: (s.dtype.name, ["batch", *s.shape]) for s in contract.streams
    }
    inputs |= {"prefix": ("float32", chunk), "delay": ("int64", ["batch"])}
    inputs["noise"] = ("float32", chunk)
    high = action.maximum.astype(np.float32)
    constants: dict[str, NDArray[Any]] = {
        "gain": np.array(gain, np.float32),
        "level": np.float32(level) * high,
        "low": action.minimum.astype(np.float32),
        "high": high,
        "rows": np.arange(action.chunk_length, dtype=np.int64)[None, :, None],
        "column": np.array([-1, 1, 1], np.int64),
        "inner": np.array([1, 2], np.int64),
        "one": np.array(1.0, np.float32),
    }
    nodes = [node("Mul", ["noise", "gain"], "spread"), node("Add", ["spread", "level"], "free")]
    free = "free"
    if bounded:
        nodes += [node("Max", ["free", "low"], "above"), node("Min", ["above", "high"], "inside")]
        free = "inside"
    if fails_on_itself:
        nodes += [
            node("Equal", ["prefix", "level"], "same"),
            node("Cast", ["same"], "same_float", to=1),
            node("ReduceMax", ["same_float", "inner"], "any", keepdims=1),
            node("Sub", ["one", "any"], "none"),
            node("Sub", ["one", "one"], "zero"),
            node("Div", ["zero", "none"], "blame"),  # 0 / 0 where it sees itself
            node("Add", [free, "blame"], "blamed"),
        ]
        free = "blamed"
    if keep_prefix:
        nodes += [
            node("Reshape", ["delay", "column"], "delay_column"),
            node("Less", ["rows", "delay_column"], "committed"),
            node("Where", ["committed", "prefix", free], "chunk"),
        ]
    else:
        nodes.append(node("Identity", [free], "chunk"))
    parts: dict[str, Any] = {
        "inputs": inputs,
        "outputs": {"chunk": ("float32", chunk)},
        "nodes": nodes,
        "constants": constants,
    }
    change(parts)
    return model(**parts)


class Maker:
    """Writes bundles that are correctly signed by a trusted key.

    Attributes:
        folder: gets a folder for each bundle.
        trusted: folder of the public key.
    """

    def __init__(self, folder: Path, contract: Contract) -> None:
        self.folder, self.contract = folder, contract
        self.trusted = folder / "keys"
        key = self.trusted / "maker.pem"
        create_key(key)
        self.key = load_key(key)

    def __call__(
        self,
        name: str,
        policy: bytes | None = None,
        files: Mapping[str, bytes] | None = None,
        manifest: Callable[[dict[str, Any]], None] | None = None,
    ) -> Path:
        """Writes a bundle.

        Args:
            name: of its folder.
            policy: the graph; None for the shipped one.
            files: further files.
            manifest: changes the manifest before it is signed.
        """
        path = self.folder / name
        write_bundle(
            path,
            self.contract,
            {
                MODEL: shipped_model(self.contract) if policy is None else policy,
                "recipe.yaml": RECIPE,
                **(files or {}),
            },
            recipe=name.replace("-", "_")[:48],
            training=TRAINING,
            created_by={"test": "1"},
            key=self.key,
        )
        if manifest is not None:
            data = json.loads((path / MANIFEST).read_text())
            manifest(data)
            self.resign(path, json.dumps(data, allow_nan=True).encode())
        return path

    def resign(self, path: Path, manifest: bytes) -> Path:
        """Puts other bytes in the manifest's place and signs them."""
        (path / MANIFEST).write_bytes(manifest)
        sign_bundle(path, self.key)
        return path


def without(names: Sequence[str]) -> Callable[[dict[str, Any]], None]:
    """A change of :func:`student` that takes inputs away which nothing uses."""

    def change(parts: dict[str, Any]) -> None:
        for name in names:
            del parts["inputs"][name]

    return change
