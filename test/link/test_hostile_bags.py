"""Files that are as their manifest says, and yet no episode: none is kept, each is told why."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from link.learner_side import CONTRACT, CONTRACT_TEXT, Keys, Learner, make_bag, problem


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    base = tmp_path_factory.mktemp("hostile")
    running = Learner(base / "learner", Keys.make(base / "keys", ["fr3"])).start()
    yield running
    assert running.ask("GET", "/v1/status").status == 200  # whatever came
    assert running.stop() == 0
    assert not [line for line in running.log if " 500 " in line or " 503 " in line]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    _, text, data = make_bag(tmp_path_factory.mktemp("bag") / "b", "good")
    return json.loads(text), data


def changed(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda manifest: json.dumps({**manifest, **fields}).encode()


def garbage(size: int) -> bytes:
    return hashlib.shake_256(b"garbage").digest(size)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../../evil", b"x")
    return buffer.getvalue()


MAGIC = b"\x89MCAP0\r\n"
CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: b"",
    "one byte": lambda data: b"\0",
    "garbage": lambda data: garbage(5000),
    "a zip that slips": lambda data: archive(),
    "magic and garbage": lambda data: MAGIC + garbage(5000),
    "magic alone": lambda data: MAGIC,
    "an endless record": lambda data: MAGIC + b"\x06" + struct.pack("<Q", 1 << 62) + b"x" * 100,
    "cut in half": lambda data: data[: len(data) // 2],
    "the end is missing": lambda data: data[:-1],
    "twice": lambda data: data + data,
    "more behind the end": lambda data: data + b"x",
    "a bit flipped": lambda data: data[:1500] + bytes([data[1500] ^ 1]) + data[1501:],
    "a bit flipped in the summary": lambda data: data[:-60] + bytes([data[-60] ^ 8]) + data[-59:],
    "pickle": lambda data: b"cos\nsystem\n(S'touch /tmp/evil'\ntR.",
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTENTS)
def test_files_that_are_no_intact_bag(
    kind: str, learner: Learner, bag: tuple[dict[str, Any], bytes]
) -> None:
    manifest, data = bag
    wrong = CONTENTS[kind](data)
    name = f"bad-{list(CONTENTS).index(kind)}"
    text = changed(
        episode_id=name, file=f"{name}.mcap", size=len(wrong),
        sha256=hashlib.sha256(wrong).hexdigest(),
    )(manifest)  # fmt: skip
    assert learner.offer(name, text).status == 200
    check_dropped(learner, name, wrong)


INSIDE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # What is recorded, and what the manifest claims beside that.
    "another robot": ({"robot": "ur5e"}, {}),
    "a name that the manifest hides": ({"metadata": {"robot_name": "left"}}, {}),
    "another contract named": ({"metadata": {"contract_sha256": "1" * 64}}, {}),
    "another contract carried": (
        {"contract_text": CONTRACT_TEXT.replace("policy_hz: 20", "policy_hz: 10")}, {}
    ),
    "no contract": ({"contract_text": ""}, {}),
    "no YAML": ({"contract_text": "{" * 5000}, {}),
    "YAML bomb": (
        {"contract_text": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n"
            for i in range(12))},
        {},
    ),
    "YAML that builds objects": (
        {"contract_text": "contract: !!python/object/apply:os.system ['touch /tmp/evil']\n"}, {}
    ),
    "another outcome": ({}, {"outcome": "failure"}),
    "other counts": ({}, {"topics": {"/t": {"type": "std_msgs/msg/String", "messages": 5}}}),
}  # fmt: skip


@pytest.mark.parametrize("kind", INSIDE)
def test_bags_that_are_not_what_their_manifest_says(
    kind: str, learner: Learner, tmp_path: Path
) -> None:
    recorded, claimed = INSIDE[kind]
    name = f"in-{list(INSIDE).index(kind)}"
    _, text, data = make_bag(tmp_path / "bag", name, **recorded)
    manifest = {**json.loads(text), **claimed}
    manifest["metadata"] = {"robot": "fr3", "contract_sha256": CONTRACT.sha256}
    assert learner.offer(name, json.dumps(manifest).encode()).status == 200
    check_dropped(learner, name, data)


def test_a_bag_under_another_id(learner: Learner, bag: tuple[dict[str, Any], bytes]) -> None:
    assert learner.offer("own", changed(episode_id="own", file="own.mcap")(bag[0])).status == 200
    check_dropped(learner, "own", bag[1])


def test_a_file_with_another_hash_than_promised(
    learner: Learner, bag: tuple[dict[str, Any], bytes]
) -> None:
    change = changed(episode_id="other-hash", file="other-hash.mcap", sha256="0" * 64)
    assert learner.offer("other-hash", change(bag[0])).status == 200
    check_dropped(learner, "other-hash", bag[1])


def check_dropped(learner: Learner, name: str, data: bytes) -> None:
    """Sends a file that is wrong; nothing of it is kept."""
    assert problem(learner.part(name, 0, data), 422)
    assert learner.ask("GET", f"/v1/episodes/{name}").data == {"state": "open", "offset": 0}
    assert not [path for path in learner.files() if name in path and not path.endswith(".json")]
    assert not [row for row in learner.rows() if row.id == name]
    assert not Path("/tmp/evil").exists()
