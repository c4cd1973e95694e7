"""Who looks when, and what is told of the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.panel import Panel, Told
from vla_rl_nodes.episodes.reward.predicate import Predicate, TimePenalty
from vla_rl_nodes.episodes.reward.spec import Rewards
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.task import LiftPredicate

from .test_looks import image, state

CONTRACT = load_contract("franka_pick")
MS = 1_000_000
MODEL = {"kind": "classifier", "model": "m", "consecutive": 1}


class Scripted(Judge):
    """Shown what a model would be shown; the test answers in its place."""

    def __init__(self, streams: tuple[str, ...] = ("image_scene",), adds: bool = False,
                 film: int = 0) -> None:  # fmt: skip
        super().__init__("scripted", streams)
        self.adds, self.film = adds, film
        self.sees = "film" if film else "streams"

    def _verdict(self, look: Look) -> Verdict:
        raise NotImplementedError


class Bench:
    """A panel with a clock."""

    def __init__(self, judges: dict[str, Judge], backends: dict[str, Any], roles: Any) -> None:
        config = Rewards.model_validate(
            {"rewards": 1, "name": "test", "backends": backends, "roles": roles}
        )
        self.lines: list[str] = []
        self.attempt = 1  # of the looks that are answered
        self.panel = Panel(config, CONTRACT, judges, lambda line, kind: self.lines.append(line))

    def begin(self, episode: str = "a", ready_ms: int = 0) -> None:
        self.panel.begin(episode, "lift", ready_ms * MS)

    def see(self, key: str, at_ms: int, message: Any) -> None:
        self.panel.looks.add(key, message, at_ms * MS, at_ms * MS)

    def tick(self, at_ms: int) -> dict[str, Look]:
        told, looks = self.panel.tick(at_ms * MS, at_ms * MS)
        assert told == []
        return looks

    def answer(self, name: str, stamp_ms: int, now_ms: int | None = None, episode: str = "a",
               **says: Any) -> list[tuple[str, int, dict[str, float]]]:  # fmt: skip
        now = (stamp_ms + 10 if now_ms is None else now_ms) * MS
        verdict = Verdict(stamp_ms * MS, "scripted", **says)
        look = Look(episode, stamp_ms * MS, "lift", attempt=self.attempt)
        return plain(self.panel.answered(name, look, verdict, now))

    def raised(self, at_ms: int, height: float) -> list[Told]:
        return self.panel.named_state(at_ms * MS, ["cube_z"], [height], at_ms * MS)


def plain(told: list[Told]) -> list[tuple[str, int, dict[str, float]]]:
    return [(t.topic, t.stamp_ns // MS, dict(t.values)) for t in told]


def predicate(cost: float = 0.0) -> Bench:
    judges: dict[str, Judge] = {
        "lifted": Predicate(LiftPredicate("cube_z", 0.02)), "clock": TimePenalty(cost),
    }  # fmt: skip
    backends = {
        "lifted": {"kind": "predicate"}, "clock": {"kind": "time_penalty", "per_step": cost},
    }  # fmt: skip
    return Bench(judges, backends, {"success": "lifted", "reward": ["clock", "lifted"]})


@pytest.fixture
def seen() -> Bench:
    """A classifier that gives reward and success."""
    return Bench({"seen": Scripted()}, {"seen": MODEL}, {"success": "seen", "reward": ["seen"]})


@pytest.fixture
def dense() -> Bench:
    """Rewards that add up from one judge, success from another."""
    steps = {"kind": "steps_to_go", "model": "m", "consecutive": 1, "success_steps": 1.0}
    return Bench(
        {"steps": Scripted(adds=True), "seen": Scripted()}, {"steps": steps, "seen": MODEL},
        {"reward": ["steps"], "progress": "steps", "success": "seen"},
    )  # fmt: skip


def test_predicate_tells_at_every_state_and_only_while_an_episode_runs() -> None:
    bench = predicate()
    assert bench.raised(0, 0.15) == []
    bench.begin(ready_ms=10)
    assert bench.raised(9, 0.15) == []
    told = [bench.raised(at, 0.15) for at in range(10, 540, 33)]
    assert [plain(t) for t in told[:1]] == [[
        ("success", 10, {"success": 0.0, "confidence": 1.0}),
        ("reward", 10, {"reward": 0.0, "success": 0.0, "confidence": 1.0}),
    ]]  # fmt: skip
    assert {t.source for some in told for t in some} == {"sim/predicate"}
    assert [t[1].values["reward"] for t in told] == [0.0] * 16 + [1.0]  # 10 + 16 * 33 - 10 > 500
    assert told[-1][1].values["success"] == 1.0
    bench.panel.finish(540 * MS)
    assert bench.raised(573, 0.15) == []
    bench.begin("b", ready_ms=560)
    assert bench.raised(573, 0.15)[1].values["reward"] == 0.0


def test_time_costs_its_price_in_every_message() -> None:
    bench = predicate(cost=0.25)
    bench.begin()
    assert bench.raised(0, 0.02)[1].values["reward"] == -0.25
    assert plain(bench.panel.tick(0, 0)[0]) == []  # the rule's messages carry it


def test_time_alone_is_a_reward_at_every_tick() -> None:
    backends = {"clock": {"kind": "time_penalty", "per_step": 1.0}}
    bench = Bench({"clock": TimePenalty(1.0)}, backends, {"reward": ["clock"]})
    bench.begin()
    told, looks = bench.panel.tick(50 * MS, 51 * MS)
    assert plain(told) == [("reward", 50, {"reward": -1.0, "success": 0.0})] and looks == {}
    assert told[0].source == "time_penalty"


def test_a_bad_state_is_one_line_and_no_verdict() -> None:
    bench = predicate()
    bench.begin()
    assert bench.raised(0, float("nan")) == []
    assert len(bench.lines) == 1 and "lifted: no verdict: cube_z" in bench.lines[0]
    with pytest.raises(InputError, match="sim/state: is stamped"):
        bench.panel.named_state(500 * MS, ["cube_z"], [0.1], 0)


def test_a_look_is_made_at_the_tick_of_what_was_captured_by_then(seen: Bench) -> None:
    seen.see("image_scene", 90, image(1))
    seen.begin(ready_ms=95)
    assert seen.tick(100) == {}  # from before the episode
    assert "seen: no verdict: image_scene has no sample young enough" in seen.lines[0]
    for at in (96, 130, 160):
        seen.see("image_scene", at, image(at))
    look = seen.tick(150)["seen"]
    assert (look.episode_id, look.stamp_ns, look.task) == ("a", 130 * MS, "lift")
    assert list(look.observation) == ["image_scene"]
    assert int(look.observation["image_scene"][0, 0, 0]) == 130
    assert seen.tick(155) == {}  # that picture was judged
    assert seen.tick(200)["seen"].stamp_ns == 160 * MS


def test_looks_keep_their_distance() -> None:
    bench = Bench({"seen": Scripted(("state",))}, {"seen": {**MODEL, "every_s": 0.1}},
                  {"reward": ["seen"], "success": "seen"})  # fmt: skip
    bench.begin()
    shown = []
    for at in range(0, 400, 50):
        bench.see("state", at, state(0.1))
        shown += [at for _ in bench.tick(at)]
    assert shown == [0, 100, 200, 300]


def test_verdicts_are_told_with_the_stamp_of_their_capture(seen: Bench) -> None:
    seen.begin()
    told = seen.answer("seen", 100, reward=1.0, success=True, confidence=0.9)
    assert told == [
        ("success", 100, {"success": 1.0, "confidence": 0.9}),
        ("reward", 100, {"reward": 1.0, "success": 1.0, "confidence": 0.9}),
    ]


def test_a_new_attempt_is_judged_from_nothing_and_the_steps_go_on(dense: Bench) -> None:
    dense.begin()
    dense.tick(0)
    dense.answer("steps", 10, reward=2.0)
    dense.panel.held, dense.panel.attempt = True, 2
    assert dense.tick(50) == {}
    dense.panel.held, dense.attempt = False, 2
    dense.see("image_scene", 90, image(1))
    looks = dense.tick(100)
    assert {look.attempt for look in looks.values()} == {2}
    assert rewards(dense.answer("steps", 120, reward=0.0)) == [(120, 0.0, 0.0)]


def test_a_late_verdict_is_not_told(seen: Bench) -> None:
    seen.begin()
    assert seen.answer("seen", 100, 600, reward=0.0, success=False) != []
    assert seen.answer("seen", 150, 651, reward=0.0, success=False) == []
    assert seen.panel.seats["seen"].late == 1
    assert "its verdict came 0.50 s after the capture" in seen.lines[0]


@pytest.mark.parametrize(
    "what", ["another episode", "another attempt", "ended", "cancelled", "held"]
)
def test_nothing_is_told_of_what_does_not_run(seen: Bench, what: str) -> None:
    seen.begin()
    changes: dict[str, Callable[[], Any]] = {
        "another episode": lambda: seen.begin("b"), "ended": lambda: seen.panel.finish(0),
        "cancelled": seen.panel.cancel, "held": lambda: setattr(seen.panel, "held", True),
        "another attempt": lambda: setattr(seen.panel, "attempt", 2),
    }  # fmt: skip
    changes[what]()
    seen.see("image_scene", 95, image(1))
    assert seen.answer("seen", 100, reward=1.0, success=True) == []
    if not what.startswith("another"):
        assert seen.tick(110) == {}


def test_a_failed_look_is_one_line(seen: Bench) -> None:
    seen.begin()
    seen.panel.failed("seen", InputError("model", "fails", "train it"))
    seen.panel.failed("seen", RuntimeError("broken\nin two"))
    assert seen.lines == [
        "seen: no verdict: model: fails; train it",
        "seen: no verdict: RuntimeError: broken\nin two",
    ]
    assert seen.panel.seats["seen"].errors == 2


def rewards(told: list[tuple[str, int, dict[str, float]]]) -> list[tuple[int, float, float]]:
    return [(at, v["reward"], v["success"]) for topic, at, v in told if topic == "reward"]


def test_rewards_that_add_up_are_told_as_sums_of_their_step(dense: Bench) -> None:
    dense.begin()
    dense.tick(0)
    assert dense.answer("steps", 10, reward=2.0, progress=0.2, steps_to_go=80.0,
                        progress_confidence=0.9) == [
        ("reward", 10, {"reward": 2.0, "success": 0.0}),
        ("progress", 10, {"progress": 0.2, "steps_to_go": 80.0, "confidence": 0.9}),
    ]  # fmt: skip
    assert rewards(dense.answer("steps", 40, reward=1.0, progress=0.3)) == [(40, 3.0, 0.0)]
    dense.tick(50)
    assert rewards(dense.answer("steps", 60, reward=5.0)) == [(60, 5.0, 0.0)]


def test_what_a_late_verdict_earned_is_told_with_the_next(dense: Bench) -> None:
    dense.begin()
    dense.tick(0)
    assert dense.answer("steps", 10, 900, reward=2.0) == []
    dense.panel.held = True
    assert dense.answer("steps", 20, reward=4.0) == []
    dense.panel.held = False
    assert rewards(dense.answer("steps", 60, reward=1.0)) == [(60, 7.0, 0.0)]
    assert rewards(dense.answer("steps", 70, reward=1.0)) == [(70, 8.0, 0.0)]


def test_a_success_from_another_judge_does_not_wait_for_the_next_reward(dense: Bench) -> None:
    dense.begin()
    dense.tick(0)
    assert dense.answer("seen", 20, success=False, confidence=0.1) == [
        ("success", 20, {"success": 0.0, "confidence": 0.1})
    ]
    dense.answer("steps", 30, reward=2.0)
    told = dense.answer("seen", 25, success=True, confidence=0.8)
    assert rewards(told) == [(30, 2.0, 1.0)]  # the step's sum again, never back in time
    assert rewards(dense.answer("seen", 45, success=True)) == []  # once
    dense.tick(50)
    assert rewards(dense.answer("steps", 60, reward=1.0)) == [(60, 1.0, 1.0)]


def test_a_film_is_judged_after_the_end() -> None:
    rubric = {"kind": "rubric5", "model": "m", "rewards": [0.0, 0.0, 0.0, 0.5, 1.0],
              "success_from": 5}  # fmt: skip
    bench = Bench({"scored": Scripted(film=3)}, {"scored": rubric},
                  {"reward": ["scored"], "success": "scored", "progress": "scored"})  # fmt: skip
    bench.begin()
    for at in range(0, 500, 50):
        bench.see("image_scene", at, image(at // 2))
        assert bench.tick(at) == {}
    bench.see("image_scene", 480, image(250))
    looks = bench.panel.finish(490 * MS)
    look = looks["scored"]
    assert look.stamp_ns == 480 * MS and look.frames["image_scene"].shape == (3, 64, 64, 3)
    assert look.frames["image_scene"][:, 0, 0, 0].tolist()[0::2] == [0, 250]
    assert bench.panel.finish(495 * MS) == {}  # once
    told = bench.answer("scored", 480, 5000, reward=0.5, success=False, progress=0.75)
    assert [topic for topic, _, _ in told] == ["success", "reward", "progress"]
    bench.begin("b")
    assert bench.answer("scored", 480, 5000, reward=0.5) == []
    assert "scored: its verdict on a came too late" in bench.lines[-1]


def test_a_film_counts_also_where_the_episode_ended_while_it_was_paused() -> None:
    rubric = {"kind": "rubric5", "model": "m", "rewards": [0.0] * 4 + [1.0], "success_from": 5}
    bench = Bench({"scored": Scripted(film=3)}, {"scored": rubric},
                  {"reward": ["scored"], "success": "scored"})  # fmt: skip
    bench.begin()
    bench.see("image_scene", 40, image(1))
    bench.tick(50)
    bench.panel.held = True
    assert "scored" in bench.panel.finish(90 * MS)
    told = bench.answer("scored", 40, 5000, reward=1.0, success=True)
    assert [topic for topic, _, _ in told] == ["success", "reward"]


def test_an_episode_without_a_picture_has_no_film() -> None:
    rubric = {"kind": "rubric5", "model": "m", "rewards": [0.0] * 5, "success_from": 5}
    bench = Bench({"scored": Scripted(film=3)}, {"scored": rubric}, {"reward": ["scored"]})
    bench.begin()
    bench.tick(50)
    assert bench.panel.finish(60 * MS) == {}
    assert "scored: no verdict: image_scene" in bench.lines[0]


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(InputError, match="depth: is no stream"):
        Bench({"seen": Scripted(("depth",))}, {"seen": MODEL}, {"reward": ["seen"]})
