"""The reward node by itself: what it tells, and that no judge ever holds it up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from episodes.reward import models
from episodes.reward.scoring import ScoringServer
from sensor_msgs.msg import Image, JointState

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.nodes.event import Event, time_message, to_message
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.policy.signing import public_path

from .running import CONTRACT, Graph, alone

pytestmark = [pytest.mark.graph, pytest.mark.learner]
TOPICS = ("reward", "success", "progress")


class Bench:
    """A reward node, an episode that the test runs, and what the node has told."""

    def __init__(self, running: Graph) -> None:
        self.running = running
        self.episode = 0
        self.heard = {topic: running.listen(JointState, topic, sensor=False) for topic in TOPICS}
        self.state: Any = None
        self.events = running.listen(DiagnosticArray, "reward/status", sensor=False)
        running.wait(lambda: self.events, 60.0, "reward/status")
        self.say("idle")
        self.show(0.0)  # finds the listeners, which takes longer than a picture is young
        self.tick()

    @property
    def episode_id(self) -> str:
        return f"episode-{self.episode}"

    def say(self, state: str, ago_ns: int = 0, **values: str) -> None:
        """A state of the episode; the node answers with its status."""
        known = {"episode_id": self.episode_id, "task": models.CONTRACT.task, **values}
        event = Event("episode", state, known, stamp_ns=self.running.now_ns() - ago_ns)
        self.running.publish("episode/state", to_message(event))

    def begin(self, ready_ago_ns: int = 0) -> None:
        """The next episode runs, and the node knows."""
        self.episode += 1
        self.say("ready", ready_ago_ns)
        self.running.wait(lambda: self.status() == "idle", 10.0, "the node")
        self.say("running")
        self.running.wait(lambda: self.status() == "judging", 10.0, "the episode")

    def status(self) -> str:
        """What the newest status of this episode says."""
        status = self.events[-1][1].status[0]
        values = {kv.key: kv.value for kv in status.values}
        return status.message if values["episode_id"] in (self.episode_id, "") else ""

    def value(self, key: str) -> str:
        """A value of the newest status that is no critique."""
        statuses = [m.status[0] for _, m in list(self.events) if m.status[0].message != "critique"]
        return next(kv.value for kv in statuses[-1].values if kv.key == key)

    def tick(self) -> None:
        values = {"episode_id": self.episode_id}
        event = Event("policy", "running", values, stamp_ns=self.running.now_ns())
        self.running.publish("policy/status", to_message(event))

    def show(self, light: float) -> int:
        """A picture; its stamp."""
        stamp = self.running.now_ns()
        picture = models.picture(light)
        message = Image(encoding="rgb8", height=64, width=64, step=192)
        message.header.stamp = time_message(stamp)
        message.data.frombytes(picture.tobytes())
        self.running.publish("observation/images/scene", message)
        return stamp

    def told(self, topic: str, stamp: int) -> dict[str, float] | None:
        """The message of a topic with this stamp."""
        for _, message in list(self.heard[topic]):
            if stamp_ns(message) == stamp:
                return dict(zip(message.name, message.position, strict=True))
        return None

    def judged(self, light: float, topic: str = "reward") -> dict[str, float]:
        """What is told of a picture."""
        stamp = self.show(light)

        def asked() -> Any:
            self.tick()
            return self.told(topic, stamp)

        found: dict[str, float] = self.running.wait(asked, 10.0, f"{topic} of a picture")
        return found

    def raised(self, *heights: float) -> list[dict[str, float]]:
        """What is told of heights of the cube, 30 a second of which the last is now."""
        now = self.running.now_ns()
        stamps = [now - (len(heights) - 1 - i) * 33_000_000 for i in range(len(heights))]
        if self.state is None:  # all at once: a queue of one would lose some
            node = self.running.driver.node
            self.state = state = node.create_publisher(JointState, "sim/state", STREAM)
            self.running.wait(lambda: state.get_subscription_count() > 0, 10.0, "a listener")
        for stamp, height in zip(stamps, heights, strict=True):
            self.state.publish(vector_message(stamp, ["cube_x", "cube_z"], [0.5, height]))
        self.running.wait(lambda: self.told("reward", now), 10.0, "the reward of a state")
        return [self.told("reward", stamp) or {} for stamp in stamps]


def config(folder: Path, text: str) -> str:
    path = folder / "rewards.yaml"
    path.write_text(f"rewards: 1\nname: test\n{text}")
    return str(path)


@pytest.fixture(scope="module")
def server() -> Iterator[ScoringServer]:
    with ScoringServer() as running:
        yield running


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, server: ScoringServer) -> Iterator[Bench]:
    """A node whose rule gives reward and success, and whose server scores films."""
    folder = tmp_path_factory.mktemp("ruled")
    file = config(folder, f"""
backends:
  lifted: {{kind: predicate, max_age_s: 5.0}}
  scored:
    kind: rubric5
    server: {{url: "{server.url}", answer_s: 20.0}}
    camera: image_scene
    frames: 4
    rewards: [0.0, 0.0, 0.0, 0.0, 1.0]
    success_from: 5
roles: {{success: lifted, reward: [lifted], progress: scored}}
""")  # fmt: skip
    with alone(folder, NodeSpec("reward", {"contract": CONTRACT, "rewards": file}), "ruled") as g:
        yield Bench(g)


@pytest.fixture(scope="module")
def modelled(tmp_path_factory: pytest.TempPathFactory, key_path: Path) -> Iterator[Bench]:
    """A node with a classifier for the success and steps-to-go for the reward."""
    folder = tmp_path_factory.mktemp("modelled")
    for kind in ("success_classifier", "steps_to_go"):
        models.folder(folder / kind, kind, key_path)
    keys = folder / "keys"
    keys.mkdir()
    (keys / "maker.pub").write_bytes(public_path(key_path).read_bytes())
    file = config(folder, f"""
backends:
  seen: {{kind: classifier, model: "{folder}/success_classifier", consecutive: 3,
          greatest_gap_s: 30.0, max_age_s: 5.0}}
  steps: {{kind: steps_to_go, model: "{folder}/steps_to_go", success_steps: 5.0, consecutive: 1,
           max_age_s: 5.0}}
roles: {{success: seen, reward: [steps], progress: steps}}
""")  # fmt: skip
    spec = NodeSpec("reward", {"rewards": file, "trusted_keys": str(keys)})
    with alone(folder, spec, "modelled") as running:
        yield Bench(running)


SECOND = 1_000_000_000
HELD = [0.15] * 17  # for 528 ms


def test_the_rule_gives_one_on_success_and_starts_anew_with_an_episode(ruled: Bench) -> None:
    for _ in range(2):
        ruled.begin(SECOND)
        told = ruled.raised(*HELD)
        assert told[0] == {"reward": 0.0, "success": 0.0, "confidence": 1.0}
        assert told[-1] == {"reward": 1.0, "success": 1.0, "confidence": 1.0}
        assert [t["success"] for t in told] == [0.0] * 16 + [1.0]
    message = ruled.heard["reward"][-1][1]
    assert message.header.frame_id == "sim/predicate"
    assert ruled.told("success", stamp_ns(message)) == {"success": 1.0, "confidence": 1.0}
    count = len(ruled.heard["reward"])
    ruled.say("aborted")
    ruled.running.wait(lambda: ruled.status() == "idle", 10.0, "the end")
    ruled.state.publish(vector_message(ruled.running.now_ns(), ["cube_z"], [0.15]))
    ruled.begin()  # what came before it was heard by then
    assert len(ruled.heard["reward"]) == count


def filmed(bench: Bench, server: ScoringServer, light: float) -> list[int]:
    """A short episode that runs out of time; the stamps of its pictures."""
    bench.begin()
    asked_before, stamps = len(server.asked), []

    def more() -> Any:
        stamps.append(bench.show(light))
        bench.tick()
        bench.say("running")
        return int(bench.value("scored.filmed")) > 1

    bench.running.wait(more, 10.0, "some pictures")
    bench.say("timeout")
    bench.running.wait(lambda: len(server.asked) > asked_before, 10.0, "a request")
    return stamps


def scored(bench: Bench, stamps: list[int]) -> tuple[int, dict[str, float]]:
    """The stamp and the content of what is told of such an episode."""

    def found() -> Any:
        told = [(stamp, bench.told("progress", stamp)) for stamp in stamps]
        return next((entry for entry in told if entry[1] is not None), None)

    told: tuple[int, dict[str, float]] = bench.running.wait(found, 10.0, "the score")
    return told


def test_a_film_is_scored_after_the_end_and_the_critique_is_quoted(
    ruled: Bench, server: ScoringServer
) -> None:
    stamp, told = scored(ruled, filmed(ruled, server, 1.0))
    assert told == {"progress": 1.0}
    assert len(server.asked[-1]["frames"]) == 4

    def critique() -> Any:
        return [m for _, m in list(ruled.events) if m.status[0].message == "critique"]

    quoted = ruled.running.wait(critique, 10.0, "the critique")[-1]
    values = {kv.key: kv.value for kv in quoted.status[0].values}
    assert values["critique"] == "The scene is 1.00 bright – “nearly”."
    assert (values["critique_code"], values["judge"]) == ("5", "scored")
    assert values["episode_id"] == ruled.episode_id and stamp_ns(quoted) == stamp


def test_a_server_that_hangs_holds_nothing_up(ruled: Bench, server: ScoringServer) -> None:
    server.mood = "slow"
    filmed(ruled, server, 1.0)
    before = len(ruled.heard["progress"])
    ruled.begin(SECOND)
    assert ruled.raised(*HELD)[-1]["reward"] == 1.0
    assert not server.let_go.is_set() and len(ruled.heard["progress"]) == before
    ruled.running.wait(lambda: float(ruled.value("scored.busy_s")) > 0.5, 10.0, "a busy judge")
    assert int(ruled.value("lifted.verdicts")) > 0
    server.mood = "good"
    server.let_go.set()
    ruled.running.wait_for_line("reward", "scored: its verdict on ", 10.0)
    assert len(ruled.heard["progress"]) == before  # not told in the next episode


@pytest.mark.parametrize(
    ("mood", "line"),
    [("dies", "cannot be reached"), ("nonsense", "no JSON message"), ("no answer", "no answer:")],
)
def test_a_bad_server_costs_one_line_and_no_guess(
    ruled: Bench, server: ScoringServer, mood: Any, line: str
) -> None:
    server.mood = mood
    before = len(ruled.heard["progress"])
    filmed(ruled, server, 1.0)
    said = ruled.running.wait_for_line("reward", line, 10.0)
    assert "scored: no verdict" in said
    server.mood = "good"
    assert scored(ruled, filmed(ruled, server, 0.5))[1] == {"progress": 0.5}
    assert len(ruled.heard["progress"]) == before + 1
    assert "Traceback" not in ruled.running.log("reward")


def test_models_judge_at_the_ticks_with_the_stamps_of_the_capture(modelled: Bench) -> None:
    for _ in range(2):  # the second episode starts from nothing
        modelled.begin()
        first = modelled.judged(0.2)
        assert first["reward"] == 0.0 and first["success"] == 0.0
        assert modelled.judged(0.6)["reward"] == pytest.approx(40.0, abs=1e-3)
        # One positive so far; the negative starts the count anew.
        assert modelled.judged(0.4, "success")["success"] == 0.0
        for light, success in ((0.6, 0.0), (0.8, 0.0), (1.0, 1.0)):
            told = modelled.judged(light, "success")
            assert told == {"success": success, "confidence": pytest.approx(light, abs=1e-5)}
    rewards = [message for _, message in list(modelled.heard["reward"])]
    modelled.running.wait(
        lambda: any(m.position[m.name.index("success")] == 1.0
                    for _, m in list(modelled.heard["reward"])), 10.0, "success in the reward",
    )  # fmt: skip
    assert {m.header.frame_id.partition("@")[0] for m in rewards} == {
        "steps_to_go/bright_steps_to_go"
    }
    stamps = [stamp_ns(message) for message in rewards]
    assert stamps == sorted(stamps)
    progress = modelled.judged(0.9, "progress")
    assert progress["steps_to_go"] == pytest.approx(10.0, abs=0.5)
    assert set(progress) == {"progress", "steps_to_go", "confidence"}
    assert all(np.isfinite(m.position).all() for _, m in list(modelled.heard["reward"]))


def test_nothing_is_told_while_it_is_paused(modelled: Bench) -> None:
    modelled.begin()
    modelled.judged(0.2)
    modelled.say("running", paused="1")
    modelled.running.wait(lambda: modelled.status() == "held", 10.0, "the pause")
    told = len(modelled.heard["reward"])
    modelled.show(0.4)
    modelled.tick()
    modelled.say("running", paused="0")
    modelled.running.wait(lambda: modelled.status() == "judging", 10.0, "the end of the pause")
    assert len(modelled.heard["reward"]) == told
    assert modelled.judged(0.6)["reward"] == pytest.approx(40.0, abs=1e-3)


def test_a_missing_stream_is_one_line(modelled: Bench) -> None:
    modelled.begin()
    for _ in range(20):
        modelled.tick()
    line = modelled.running.wait_for_line("reward", "seen: no verdict: image_scene has no sample")
    assert "check its publisher" in line


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"rewards": "nobody"}, "nobody: is none of config/rewards: classifier, franka_pick"),
        ({"rewards": "unsigned"}, "manifest.sig: is missing"),
    ],
)
def test_what_does_not_fit_is_told_at_the_start(
    tmp_path: Path, parameters: dict[str, str], said: str
) -> None:
    if parameters.get("rewards") == "unsigned":
        path = models.folder(tmp_path / "m", "pairwise_progress", None)
        parameters = {"rewards": config(tmp_path, f"""
backends: {{pairs: {{kind: pairwise, model: "{path}"}}}}
roles: {{reward: [pairs]}}
""")}  # fmt: skip
    line = [sys.executable, "-m", "vla_rl_nodes.nodes.reward", "--ros-args"]
    for name, value in parameters.items():
        line += ["-p", f"{name}:={json.dumps(value)}"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_contract_without_rewards_is_run_without(tmp_path: Path) -> None:
    with alone(tmp_path, NodeSpec("reward", {"contract": "plane"}), "bare") as running:
        running.wait_for_line("reward", "contract plane has no file in config/rewards", 60.0)
        events = running.listen(DiagnosticArray, "reward/status", sensor=False)
        running.wait(lambda: events, 10.0, "reward/status")
        assert events[-1][1].status[0].message == "idle"
