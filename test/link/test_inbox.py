"""Stored episodes reach the episode store once, and those that cannot are kept with the reason."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

from link.learner_side import DEADLINE_S, Keys, Learner, make_bag, wait_for
from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.cli import main
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.inbox import Inbox
from vla_rl_nodes.link.records import Records
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.resources import resource

SAMPLE = resource("bags/franka_pick_sample")


class Shelf:
    """A store in memory that behaves as the real one does."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.fails = False

    def append(self, episode: EpisodeData) -> bool:
        if self.fails:
            raise InputError("store", "cannot be written", "free space") from OSError(28, "full")
        header = episode.header
        if header.episode_id in self.held:
            if self.held[header.episode_id] != header.content_sha256:
                raise InputError(header.episode_id, "is there with other content", "keep that")
            return False
        self.held[header.episode_id] = header.content_sha256
        return True


class Stored:
    """A learner's folder with a real episode, one without any step, and one that is damaged."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "l"
        self.records = Records(self.folder)
        self.blobs = Blobs(self.folder)
        self.blobs.prepare()
        self.log: list[str] = []
        self.sample = Manifest.model_validate_json((SAMPLE / "manifest.json").read_bytes())
        self.add(
            self.sample, (SAMPLE / "manifest.json").read_bytes(),
            (SAMPLE / self.sample.file).read_bytes(),
        )  # fmt: skip
        self.add(*make_bag(base / "empty", "empty"))
        self.add(*make_bag(base / "gone", "gone"))
        (self.blobs.episode("fr3", "gone") / "gone.mcap").unlink()

    def add(self, manifest: Manifest, text: bytes, data: bytes) -> None:
        name = manifest.episode_id
        self.blobs.write_offer("fr3", name, text)
        self.blobs.append("fr3", name, 0, data)
        self.blobs.stage("fr3", name)
        self.blobs.publish("fr3", name, text)
        self.records.add("fr3", manifest)
        self.blobs.forget("fr3", name)

    def states(self) -> dict[str, str]:
        return {row.id: row.replay for row in self.records.episodes()}


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    made = Stored(tmp_path)
    yield made
    made.records.close()


def test_each_is_settled_once(stored: Stored) -> None:
    shelf = Shelf()
    inbox = Inbox(stored.folder, stored.records, shelf, stored.log.append)
    assert inbox.take_in() == 3 and inbox.take_in() == 0
    sample = stored.sample.episode_id
    assert stored.states() == {sample: "done", "empty": "refused", "gone": "refused"}
    assert list(shelf.held) == [sample] and len(stored.log) == 3
    reasons = {row.id: row.reason for row in stored.records.episodes()}
    assert reasons[sample] == ""
    assert "is missing" in reasons["gone"] and "\n" not in reasons["empty"] != ""
    assert (stored.blobs.episode("fr3", "empty") / "empty.mcap").exists()  # it is kept


def test_killed_before_it_was_noted_it_is_there_once(stored: Stored) -> None:
    shelf = Shelf()
    Inbox(stored.folder, stored.records, shelf, stored.log.append).take_in()
    stored.records.settle("fr3", stored.sample.episode_id, "waiting")  # as if it had been killed
    Inbox(stored.folder, stored.records, shelf, stored.log.append).take_in()
    assert len(shelf.held) == 1 and stored.states()[stored.sample.episode_id] == "done"
    assert stored.log[-1].endswith(", again")


def test_while_the_store_s_disk_fails_the_episode_waits(stored: Stored) -> None:
    shelf = Shelf()
    shelf.fails = True
    inbox = Inbox(stored.folder, stored.records, shelf, stored.log.append)
    with pytest.raises(InputError, match="store: cannot be written"):
        inbox.take_in()
    assert stored.states()[stored.sample.episode_id] == "waiting"
    shelf.fails = False
    inbox.take_in()
    assert stored.states()[stored.sample.episode_id] == "done"


def test_the_command_shows_what_became_of_each(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Inbox(stored.folder, stored.records, Shelf(), stored.log.append).take_in()
    config = tmp_path / "learner.yaml"
    config.write_text(
        "folder: l\ncertificates: {authority: ca.crt, certificate: l.crt, key: l.key}\n"
    )
    command = ["learner", "episodes", "--config", str(config)]
    assert main([*command, "--json"]) == 1  # one is damaged
    told = {e["id"]: e for e in json.loads(capsys.readouterr().out)["episodes"]}
    assert told["gone"]["damage"] == "is missing" and told["empty"]["damage"] is None
    assert told["empty"]["replay"] == "refused" and told["empty"]["reason"]
    assert told[stored.sample.episode_id]["size"] == stored.sample.size
    flipped = stored.blobs.episode("fr3", "empty") / "empty.mcap"
    data = bytearray(flipped.read_bytes())
    data[200] ^= 1
    flipped.write_bytes(data)
    assert main([*command, "--verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and sum("DAMAGED: has sha256" in line for line in lines) == 1
    config.write_text(config.read_text().replace("folder: l", "folder: elsewhere"))
    assert main(command) == 2


@pytest.mark.learner
def test_a_learner_fills_its_store(tmp_path: Path) -> None:
    from vla_rl_nodes.replay.store.store import EpisodeStore

    learner = Learner(tmp_path / "l", Keys.make(tmp_path / "k"), more={"store": "store"}).start()
    manifest = (SAMPLE / "manifest.json").read_bytes()
    name = Manifest.model_validate_json(manifest).episode_id
    assert learner.upload(name, manifest, (SAMPLE / f"{name}.mcap").read_bytes()).status == 200
    wait_for(lambda: learner.rows()[0].replay == "done", "the episode in the store")
    assert learner.stop() == 0
    with EpisodeStore(tmp_path / "l" / "store") as store:
        assert [e.header.episode_id for e in store.episodes] == [name]


@pytest.mark.learner
@pytest.mark.nightly
def test_an_inbox_killed_anywhere_stores_once(stored: Stored, tmp_path: Path) -> None:
    from vla_rl_nodes.replay.store.store import EpisodeStore

    config = tmp_path / "learner.yaml"
    config.write_text(
        "folder: l\nstore: store\n"
        "certificates: {authority: ca.crt, certificate: l.crt, key: l.key}\n"
    )
    chance = random.Random(5)
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-m", "vla_rl_nodes.link.inbox_process", str(config)],
            stdin=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        sleep(chance.uniform(0.5, 4.0))
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        if chance.random() < 0.3:
            stored.records.settle("fr3", stored.sample.episode_id, "waiting")
    process = subprocess.Popen(
        [sys.executable, "-m", "vla_rl_nodes.link.inbox_process", str(config)],
        stdin=subprocess.PIPE,
    )
    wait_for(lambda: "waiting" not in stored.states().values(), "the end of it")
    assert process.stdin is not None
    process.stdin.close()  # as when the learner dies
    assert process.wait(DEADLINE_S) == 0
    with EpisodeStore(tmp_path / "store") as store:
        assert [e.header.episode_id for e in store.episodes] == [stored.sample.episode_id]
