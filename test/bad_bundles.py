"""Bundles that must not run, each wrong in one thing; all but the unsigned ones are signed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bundles import Maker, shipped_model, student, without
from policy.onnx_writer import endless_loop, node, outside_constant

from vla_rl_nodes.policy.bundle import (
    LARGEST_FILE,
    LARGEST_MANIFEST,
    LARGEST_SIGNATURE,
    MANIFEST,
    MODEL,
    SIGNATURE,
    sign_bundle,
)
from vla_rl_nodes.policy.signing import create_key, load_key

Make = Callable[[Maker, str], Path]
Change = Callable[[Path], None]


@dataclass(frozen=True)
class Bad:
    """A case: its name, how it is made, and what the refusal must say.

    Attributes:
        files: whether the bundle's files say it; otherwise only running its graph does.
    """

    name: str
    make: Make
    said: str
    files: bool = True


def _damaged(change: Change) -> Make:
    """A good bundle that something has happened to."""

    def make(maker: Maker, name: str) -> Path:
        path = maker(name)
        change(path)
        return path

    return make


def _nothing(kind: str) -> Make:
    def make(maker: Maker, name: str) -> Path:
        path = maker.folder / name
        if kind == "file":
            path.write_bytes(b"PK\x03\x04")
        elif kind == "empty":
            path.mkdir()
        return path

    return make


def _removed(name: str) -> Change:
    return lambda path: (path / name).unlink()


def _added(name: str) -> Change:
    return lambda path: (path / name).write_bytes(b"more") and None


def _linked(name: str) -> Change:
    def change(path: Path) -> None:
        elsewhere = path.parent / f"{path.name}.elsewhere"
        (path / name).rename(elsewhere)
        (path / name).symlink_to(elsewhere)

    return change


def _replaced(name: str, make: Callable[[Path], Any]) -> Change:
    def change(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return change


def _flipped(name: str, where: float) -> Change:
    """One bit of a file, at a share of its length."""

    def change(path: Path) -> None:
        data = bytearray((path / name).read_bytes())
        data[int(where * (len(data) - 1))] ^= 1 << 4
        (path / name).write_bytes(data)

    return change


def _lengthened(path: Path) -> None:
    with (path / MODEL).open("ab") as file:
        file.write(b"\0")


def _foreign(path: Path) -> None:
    key = path.parent / f"{path.name}.pem"
    create_key(key)
    sign_bundle(path, load_key(key))


def _said(**changes: Any) -> Make:
    """A manifest that was signed with other values; a name's dots become deeper keys."""

    def change(data: dict[str, Any]) -> None:
        for name, value in changes.items():
            *parents, last = name.split("__")
            place: Any = data
            for parent in parents:
                place = place[parent.replace("policy_onnx", MODEL)]
            place[last] = value

    return lambda maker, name: maker(name, manifest=change)


def _renamed(to: str) -> Make:
    """A file under a name that leads elsewhere."""

    def change(data: dict[str, Any]) -> None:
        data["files"][to] = data["files"].pop("recipe.yaml")

    return lambda maker, name: maker(name, manifest=change)


def _resigned(make: Callable[[bytes], bytes]) -> Make:
    """Other bytes in the manifest's place, correctly signed."""

    def of(maker: Maker, name: str) -> Path:
        path = maker(name)
        return maker.resign(path, make((path / MANIFEST).read_bytes()))

    return of


def _short_chunks(data: dict[str, Any]) -> None:
    data["chunk_length"], data["noise_shape"][0] = 8, 8


def _other_camera(data: dict[str, Any]) -> None:
    data["observation"][0]["shape"] = [32, 32, 3]


def _model(cut: Callable[[bytes], bytes]) -> Make:
    """The shipped graph, damaged before it was signed."""
    return lambda maker, name: maker(name, cut(shipped_model(maker.contract)))


def _with(files: dict[str, bytes]) -> Make:
    return lambda maker, name: maker(name, files=files)


def _student(**changes: Any) -> Make:
    return lambda maker, name: maker(name, student(maker.contract, **changes))


def _port(kind: str, old: str, new: str = "", dtype: str = "", shape: Any = None) -> Make:
    """A graph with one input or output renamed, added or of another type or shape."""

    def change(parts: dict[str, Any]) -> None:
        ports = parts[kind]
        given_type, given_shape = ports.pop(old) if old else ("float32", ["batch", 1])
        ports[new or old] = (dtype or given_type, given_shape if shape is None else shape)
        if kind == "outputs" and new:
            parts["nodes"].append(node("Identity", ["chunk"], new))
            if not old:
                ports[new] = ports["chunk"]

    return _student(change=change)


def _inside(*nodes: bytes, **constants: Any) -> Make:
    """A graph whose noise goes through further nodes, from ``first`` to ``spread``."""

    def change(parts: dict[str, Any]) -> None:
        parts["constants"] |= constants
        parts["nodes"][:1] = [node("Mul", ["noise", "gain"], "first"), *nodes]

    return _student(change=change)


def _outside(parts: dict[str, Any]) -> None:
    del parts["constants"]["gain"]
    parts["outside"] = [outside_constant("gain", [1], "recipe.yaml")]


DAMAGED = [
    Bad("no-folder", _nothing(""), "is no bundle folder"),
    Bad("a-file", _nothing("file"), "is no bundle folder"),
    Bad("empty-folder", _nothing("empty"), f"{MANIFEST}: is missing"),
    Bad("no-manifest", _damaged(_removed(MANIFEST)), f"{MANIFEST}: is missing"),
    Bad("no-signature", _damaged(_removed(SIGNATURE)), f"{SIGNATURE}: is missing"),
    Bad("no-model", _damaged(_removed(MODEL)), f"{MODEL}: is missing"),
    Bad("no-recipe", _damaged(_removed("recipe.yaml")), "recipe.yaml: is missing"),
    Bad("unnamed-file", _damaged(_added("notes.txt")), "notes.txt: is not named"),
    Bad("hidden-file", _damaged(_added(".bashrc")), ".bashrc: is not named"),
    Bad("linked-model", _damaged(_linked(MODEL)), f"{MODEL}: is a link"),
    Bad("linked-manifest", _damaged(_linked(MANIFEST)), f"{MANIFEST}: is a link"),
    Bad("pipe", _damaged(_replaced(MODEL, os.mkfifo)), "is no regular file"),
    Bad("pipe-signature", _damaged(_replaced(SIGNATURE, os.mkfifo)), "is no regular file"),
    Bad("folder-inside", _damaged(_replaced("recipe.yaml", Path.mkdir)), "recipe.yaml"),
    Bad("flipped-model", _damaged(_flipped(MODEL, 0.5)), f"{MODEL}: is not the file"),
    Bad("flipped-manifest", _damaged(_flipped(MANIFEST, 0.3)), "does not fit the manifest"),
    Bad("flipped-signature", _damaged(_flipped(SIGNATURE, 0.7)), SIGNATURE),
    Bad("longer-model", _damaged(_lengthened), f"{MODEL}: is larger than"),
    Bad("unknown-key", _damaged(_foreign), "which is not trusted"),
    Bad("long-signature", _damaged(
        lambda path: (path / SIGNATURE).write_bytes(b"0" * (LARGEST_SIGNATURE + 1)) and None
    ), f"{SIGNATURE}: is larger than"),
    Bad("long-manifest", _damaged(
        lambda path: (path / MANIFEST).write_bytes(b" " * (LARGEST_MANIFEST + 1)) and None
    ), f"{MANIFEST}: is larger than"),
]  # fmt: skip

MISLEADING = [
    Bad("wrong-hash", _said(files__policy_onnx__sha256="0" * 64), "is not the file"),
    Bad("wrong-size", _said(files__policy_onnx__bytes=17), "is larger than 17 bytes"),
    Bad("negative-size", _said(files__policy_onnx__bytes=-1), "greater than or equal to 0"),
    Bad("huge-size", _said(files__policy_onnx__bytes=LARGEST_FILE + 1), "is over 64 MiB"),
    Bad("unknown-field", _said(run_at_start="rm -rf /"), "run_at_start: extra inputs"),
    Bad("new-format", _said(bundle=2), "bundle: input should be 1"),
    Bad("no-number", _said(training__metrics={"error": float("nan")}), "training.metrics"),
    Bad("other-contract", _said(contract__sha256="1" * 64), "is for contract franka_pick"),
    Bad("other-rate", _said(policy_hz=50), "policy_hz: contradicts"),
    Bad("other-delay", _said(max_delay=12), "max_delay: contradicts"),
    Bad("other-bounds", _said(action__maximum=[1.0] * 5), "action: contradicts"),
    Bad("other-length", lambda maker, name: maker(name, manifest=_short_chunks),
        "contradicts the contract"),
    Bad("other-camera", lambda maker, name: maker(name, manifest=_other_camera),
        "observation: contradicts"),
    Bad("names-no-model", _said(files={}), "files"),
    Bad("leads-out", _renamed("../recipe.yaml"), "files"),
    Bad("leads-to-root", _renamed("/etc/passwd"), "files"),
    Bad("key-twice", _resigned(lambda data: data.replace(b"{", b'{"bundle": 1,', 1)),
        "is not the JSON of a bundle"),
    Bad("cut-manifest", _resigned(lambda data: data[: len(data) // 2]),
        "is not the JSON of a bundle"),
    Bad("deep-manifest", _resigned(lambda data: b"[" * 100_000), "is not the JSON of a bundle"),
    Bad("list-manifest", _resigned(lambda data: json.dumps([1]).encode()), MANIFEST),
    Bad("flow-of-other-axes", _said(
        flow={"steps": 4, "action_mean": [0.0], "action_spread": [1.0]}
    ), "flow.action_mean: has 1 axes", files=False),
]  # fmt: skip

_LOADS_NOT = "is no model that onnxruntime loads"
_NAN = float("nan")
GRAPHS = [
    Bad("empty-model", _model(lambda data: b""), MODEL),
    Bad("cut-at-a-byte", _model(lambda data: data[:-1]), _LOADS_NOT),
    Bad("cut-in-half", _model(lambda data: data[: len(data) // 2]), _LOADS_NOT),
    Bad("cut-after-100", _model(lambda data: data[:100]), MODEL),
    Bad("text", _model(lambda data: b"import os\n"), _LOADS_NOT),
    Bad("overwritten", _model(lambda data: b"\xff" * 64 + data[64:]), _LOADS_NOT),
    Bad("nan-weights", _student(gain=_NAN), "is not finite"),
    Bad("infinite-output", _student(gain=float("inf"), bounded=False), "is not finite"),
    Bad("out-of-bounds", _student(gain=5.0, bounded=False), "leaves the action bounds"),
    Bad("prefix-changed", _student(keep_prefix=False), "changes the prefix at delay 1"),
    Bad("input-missing", _student(change=without(["image_wrist"])),
        "input 'image_wrist' is missing"),
    Bad("input-more", _port("inputs", "", "password"), "input 'password' is unknown"),
    Bad("input-renamed", _port("inputs", "state", "estado"), "input 'estado' is unknown"),
    Bad("input-type", _port("inputs", "state", dtype="float64"), "input 'state' is"),
    Bad("input-shape", _port("inputs", "state", shape=["batch", 7]), "input 'state' is"),
    Bad("image-shape", _port("inputs", "image_scene", shape=["batch", 3, 64, 64]),
        "input 'image_scene' is"),
    Bad("output-renamed", _port("outputs", "chunk", "action"), "output"),
    Bad("output-more", _port("outputs", "", "also"), "output 'also' is unknown"),
    Bad("output-short", _port("outputs", "chunk", shape=["batch", 8, 5]), MODEL),
    Bad("outside-data", _student(change=_outside), _LOADS_NOT),
    Bad("endless", _inside(endless_loop("first", "spread", "rounds"),
                           rounds=np.array(2**62, np.int64)), "its trial run"),
    Bad("gluttonous", _inside(
        node("ConstantOfShape", ["size"], "huge"),
        node("ReduceSum", ["huge"], "total", keepdims=0),
        node("Add", ["first", "total"], "spread"), size=np.array([1 << 44], np.int64),
    ), "fails when it is run"),
    Bad("unknown-operator", _inside(node("SystemCall", ["first"], "spread")), _LOADS_NOT),
    Bad("broken-critic", _with({"critic.onnx": b"\x08\x08"}), "critic.onnx: "),
    Bad("undeclared-flow", _with({"context.onnx": b"", "field.onnx": b""}), "declares no flow"),
    Bad("undelivered-flow", _said(
        flow={"steps": 4, "action_mean": [0.0] * 5, "action_spread": [1.0] * 5}
    ), "context.onnx: is not in the bundle"),
    Bad("undelivered-forecast", _said(outcome={"remaining_ticks": [1.0, 3.0]}),
        "output 'outcome' is missing"),
]  # fmt: skip
CASES = [*DAMAGED, *MISLEADING, *(Bad(b.name, b.make, b.said, files=False) for b in GRAPHS)]

# Only another process can be ended.
ENDLESS = "endless"
# What a running graph is offered: every wrong file, and one or two graphs of each kind.
OFFERED = [
    case
    for case in CASES
    if case.files
    or case.name
    in (
        "empty-model", "cut-at-a-byte", "cut-in-half", "overwritten", "nan-weights",
        "out-of-bounds", "prefix-changed", "input-missing", "input-more", "input-shape",
        "output-renamed", "output-short", "outside-data", ENDLESS, "gluttonous",
        "unknown-operator", "broken-critic", "undelivered-flow",
    )
]  # fmt: skip
