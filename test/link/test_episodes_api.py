"""Episodes as an honest robot brings them, interrupted at every step, to a real learner."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from link.learner_side import CONTRACT, DEADLINE_S, Keys, Learner, make_bag, problem, wait_for


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys") / "k")


@pytest.fixture(scope="module")
def learner(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    running = Learner(tmp_path_factory.mktemp("learner") / "l", keys).start()
    yield running
    assert running.stop() == 0


def test_status_says_what_counts_for_this_robot(learner: Learner) -> None:
    status = learner.ask("GET", "/v1/status").data
    assert (status["protocol"], status["learner"], status["robot"]) == (1, "learner", "fr3")
    assert status["contracts"] == [CONTRACT.sha256]
    assert status["part_bytes"] == 1 << 16 and status["free_bytes"] > 0


def test_an_episode_arrives_part_by_part(learner: Learner, tmp_path: Path) -> None:
    manifest, text, data = make_bag(tmp_path / "b", "parts", size=30_000)
    stored = {"state": "stored", "sha256": manifest.sha256, "size": manifest.size}
    offsets = []
    answer = learner.offer("parts", text)
    while answer.data["state"] == "open":
        assert learner.ask("GET", "/v1/episodes/parts").data == answer.data
        offsets.append(answer.data["offset"])
        answer = learner.part("parts", offsets[-1], data[offsets[-1] : offsets[-1] + 7000])
    assert answer.data == stored and offsets == list(range(0, len(data), 7000))
    place = learner.data / "episodes" / "fr3" / "parts"
    assert (place / "parts.mcap").read_bytes() == data
    assert (place / "manifest.json").read_bytes() == text
    assert not list((learner.data / "incoming" / "fr3").glob("parts*"))
    (row,) = [row for row in learner.rows() if row.id == "parts"]
    assert (row.robot, row.sha256, row.size) == ("fr3", manifest.sha256, manifest.size)
    assert (row.outcome, row.contract_sha256, row.replay) == (
        "success",
        CONTRACT.sha256,
        "waiting",
    )


def test_whatever_is_sent_again_is_answered_again(learner: Learner, tmp_path: Path) -> None:
    _, text, data = make_bag(tmp_path / "b", "again")
    first = learner.upload("again", text, data)
    for answer in (
        learner.offer("again", text),
        learner.part("again", 0, data),
        learner.part("again", len(data), b""),
        learner.ask("GET", "/v1/episodes/again"),
    ):
        assert (answer.status, answer.data) == (200, first.data)
    assert len([row for row in learner.rows() if row.id == "again"]) == 1
    _, other, _ = make_bag(tmp_path / "o", "again", size=3001)
    assert problem(learner.offer("again", other), 409)


def test_a_robot_goes_by_its_own_name_where_it_has_one(learner: Learner, tmp_path: Path) -> None:
    """Two robots of one kind record the same ``robot``; the certificate tells them apart."""
    named = {"robot_name": "ur5e"}  # the certificate's name; the kind is fr3
    _, text, data = make_bag(tmp_path / "b", "named", "fr3", metadata=named)
    refused = learner.offer("named", text, robot="fr3")
    assert "is another robot's" in problem(refused, 422)
    assert "robot_name:=fr3" in refused.data["remedy"]
    assert learner.upload("named", text, data, robot="ur5e").data["state"] == "stored"
    assert [row.robot for row in learner.rows() if row.id == "named"] == ["ur5e"]


def test_two_robots_may_have_the_same_id(learner: Learner, tmp_path: Path) -> None:
    for robot in ("fr3", "ur5e"):
        _, text, data = make_bag(tmp_path / robot, "shared", robot=robot)
        assert learner.upload("shared", text, data, robot).data["state"] == "stored"
    assert {row.robot for row in learner.rows() if row.id == "shared"} == {"fr3", "ur5e"}


def test_many_uploads_of_one_episode_at_once_store_it_once(
    learner: Learner, tmp_path: Path
) -> None:
    _, text, data = make_bag(tmp_path / "b", "raced", size=60_000)
    states: list[str] = []

    def send(part: int) -> None:
        while True:
            answer = learner.offer("raced", text)
            if answer.data["state"] == "stored":
                break
            offset = answer.data["offset"]
            answer = learner.part("raced", offset, data[offset : offset + part])
            assert answer.status in (200, 409), answer
        states.append(answer.data["state"])

    threads = [threading.Thread(target=send, args=(part,)) for part in (3000, 7000, 9000, 64_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert states == ["stored"] * 4
    assert len([row for row in learner.rows() if row.id == "raced"]) == 1
    stored = learner.data / "episodes" / "fr3" / "raced" / "raced.mcap"
    assert stored.read_bytes() == data


def test_a_contract_that_is_taken_out_of_the_list_is_taken_no_longer(
    keys: Keys, tmp_path: Path
) -> None:
    learner = Learner(tmp_path / "l", keys).start()
    _, text, data = make_bag(tmp_path / "b", "late")
    assert learner.offer("late", text).status == 200
    learner.rights["fr3"] = {"contracts": []}
    learner.write_config()
    wait_for(lambda: not learner.ask("GET", "/v1/status").data["contracts"], "the new list")
    assert "is not taken" in problem(learner.part("late", 0, data), 422)
    assert learner.rows() == []
    learner.stop()


def test_a_disk_that_is_full_keeps_what_it_has_and_says_so(keys: Keys, tmp_path: Path) -> None:
    # No file may grow beyond this: the kernel's own answer, and Python ignores its signal.
    learner = Learner(tmp_path / "l", keys, file_limit=50_000).start()
    _, text, data = make_bag(tmp_path / "b", "full", size=60_000)
    assert learner.offer("full", text).status == 200
    assert learner.part("full", 0, data[:30_000]).data["offset"] == 30_000
    assert "file too large" in problem(learner.part("full", 30_000, data[30_000:]), 413)
    assert learner.ask("GET", "/v1/episodes/full").data == {"state": "open", "offset": 30_000}
    part = learner.data / "incoming" / "fr3" / "full.part"
    assert part.read_bytes() == data[:30_000]
    learner.stop()
    learner.file_limit = None
    learner.start()
    assert learner.upload("full", text, data).data["state"] == "stored"
    learner.stop()


def test_room_is_kept_free_on_the_disk(keys: Keys, tmp_path: Path) -> None:
    learner = Learner(tmp_path / "l", keys, more={"keep_free_bytes": 1 << 50}).start()
    _, text, _ = make_bag(tmp_path / "b", "no-room")
    assert "does not fit" in problem(learner.offer("no-room", text), 413)
    assert learner.ask("GET", "/v1/status").data["free_bytes"] == 0
    learner.stop()


def test_a_second_learner_is_kept_out_of_the_folder(
    learner: Learner,
) -> None:
    status = subprocess.run(
        [sys.executable, "-m", "vla_rl_nodes.cli", "learner", "serve", "--config", learner.config],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert status.returncode == 2
    assert status.stderr.strip().endswith("is served by another learner; end that one first")


def test_an_upload_goes_on_where_a_killed_learner_was(keys: Keys, tmp_path: Path) -> None:
    learner = Learner(tmp_path / "l", keys).start()
    _, text, data = make_bag(tmp_path / "b", "cut")
    learner.offer("cut", text)
    assert learner.part("cut", 0, data[:1234]).data["offset"] == 1234
    learner.kill()
    learner.start()
    assert learner.ask("GET", "/v1/episodes/cut").data == {"state": "open", "offset": 1234}
    assert learner.offer("cut", text).data == {"state": "open", "offset": 1234}
    assert learner.upload("cut", text, data).data["state"] == "stored"
    learner.kill()
    learner.start()
    assert learner.offer("cut", text).data["state"] == "stored"
    assert learner.stop() == 0
    listed = subprocess.run(
        [sys.executable, "-m", "vla_rl_nodes.cli", "learner", "episodes", "--config",
         learner.config, "--json", "--verify"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=True,
    )  # fmt: skip
    (entry,) = json.loads(listed.stdout)["episodes"]
    assert (entry["id"], entry["damage"]) == ("cut", None)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_sigterm_ends_the_learner_while_a_robot_waits(keys: Keys, tmp_path: Path) -> None:
    learner = Learner(tmp_path / "l", keys).start()
    got: list[int] = []
    waiting = threading.Thread(
        target=lambda: got.append(learner.ask("GET", "/v1/bundles/latest?wait=60").status)
    )
    waiting.start()
    wait_for(lambda: learner.ask("GET", "/v1/status").status == 200, "an answer beside it")
    assert learner.stop() == 0
    waiting.join(DEADLINE_S)
    assert not waiting.is_alive() and got in ([204], [])
