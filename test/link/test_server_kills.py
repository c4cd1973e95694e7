"""kill -9 of a real learner at random moments of uploads: every episode once, and nothing half."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
from pathlib import Path
from time import monotonic, sleep

import pytest

from link.learner_side import DEADLINE_S, Answer, Keys, Learner, make_bag

SEED = 20_261_121
EPISODES = 6  # of each robot


class Sender(threading.Thread):
    """A plain client that sends episodes until each is said to be stored, whatever breaks."""

    def __init__(self, learner: Learner, robot: str, bags: list[tuple[str, bytes, bytes]]) -> None:
        super().__init__(daemon=True)
        self.learner, self.robot, self.bags = learner, robot, bags
        self.stored: list[str] = []
        self.odd: list[Answer] = []  # what no robot should be answered
        self.stop = threading.Event()

    def run(self) -> None:
        for name, text, data in self.bags:
            while name not in self.stored and not self.stop.is_set():
                try:
                    answer = self.learner.upload(name, text, data, self.robot, part=9_000)
                except (OSError, http.client.HTTPException, ValueError):
                    sleep(0.02)  # it is being started again
                    continue
                if answer.status == 200 and answer.data["state"] == "stored":
                    self.stored.append(name)
                elif answer.status not in (409, 503):
                    self.odd.append(answer)


@pytest.mark.parametrize("kills", [15, pytest.param(150, marks=pytest.mark.nightly)])
def test_every_episode_is_stored_once_whatever_is_killed(tmp_path: Path, kills: int) -> None:
    chance = random.Random(SEED)
    keys = Keys.make(tmp_path / "keys")
    learner = Learner(tmp_path / "l", keys).start()
    senders, promised = [], {}
    for robot in ("fr3", "ur5e"):
        bags = []
        for number in range(EPISODES):
            name = f"e{number}"
            manifest, text, data = make_bag(
                tmp_path / robot / name, name, robot, size=chance.randrange(3_000, 90_000)
            )
            promised[robot, name] = (manifest.sha256, manifest.size, text)
            bags.append((name, text, data))
        senders.append(Sender(learner, robot, bags))
    for sender in senders:
        sender.start()
    ran = list(senders)
    done = 0
    while done < kills:
        # A moment between two and some hundred requests; near the end of a check, too.
        sleep(chance.uniform(0.0, 0.25))
        learner.kill()
        done += 1
        said = {(s.robot, name) for s in senders for name in list(s.stored)}
        check(learner, promised, said, whole=False)
        learner.start()
        if not any(sender.is_alive() for sender in senders):
            for sender in senders:  # all stored: from the first one again
                sender.stored.clear()
            senders = [Sender(learner, s.robot, s.bags) for s in senders]
            ran += senders
            for sender in senders:
                sender.start()
    end = monotonic() + DEADLINE_S
    for sender in senders:
        sender.join(max(0.0, end - monotonic()))
        sender.stop.set()
        assert not sender.is_alive()
    check(learner, promised, set(promised), whole=True)
    assert [answer for sender in ran for answer in sender.odd] == []
    assert learner.stop() == 0
    assert not [line for line in learner.log if " 500 " in line or "DAMAGE" in line]


def check(
    learner: Learner,
    promised: dict[tuple[str, str], tuple[str, int, bytes]],
    said: set[tuple[str, str]],
    whole: bool,
) -> None:
    """Rows are whole and right, each once, and there for all that was said to be stored."""
    rows = learner.rows()
    keys = [(row.robot, row.id) for row in rows]
    assert len(keys) == len(set(keys))
    assert said <= set(keys), "said to be stored, and lost"
    for row in rows:
        sha256, size, text = promised[row.robot, row.id]
        place = learner.data / "episodes" / row.robot / row.id
        data = (place / f"{row.id}.mcap").read_bytes()
        assert (row.sha256, row.size) == (sha256, size)
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size)
        assert (place / "manifest.json").read_bytes() == text
    if whole:
        assert set(keys) == set(promised)
        held = {path.name for path in (learner.data / "incoming").rglob("*") if path.is_file()}
        assert held == set()
