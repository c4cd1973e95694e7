from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bundles import Maker, student

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.quality import measure_bag, saturated
from vla_rl_nodes.replay.quality_page import page
from vla_rl_nodes.replay.quality_report import Judged, as_dict, judge, lines, total
from vla_rl_nodes.replay.quality_verdict import Finding, Verdict, balance, findings

from .episode_bag import make_episode
from .faulty_bag import SAMPLE, Change, Raw, faulty, on, stamp, stamped
from .played_bag import play, switch

CONTRACT = load_contract("franka_pick")
SCENE, WRIST = "/fr3/observation/images/scene", "/fr3/observation/images/wrist"
STATE = "/fr3/observation/state"
MS = 1_000_000
IMAGE_BYTES = 64 * 64 * 3


def check(bag: Path) -> Judged:
    return judge(measure_bag(bag, CONTRACT), CONTRACT)


def found(judged: Judged, threshold: str, where: str = "") -> Finding:
    one = [f for f in judged.findings if f.threshold == threshold and where in f.where]
    assert one, f"no {threshold}: {judged.findings}"
    return one[0]


def test_the_sample_is_good() -> None:
    judged = check(SAMPLE)
    quality = judged.quality
    assert judged.verdict is Verdict.GOOD and judged.findings == () and quality.same
    assert quality.streams["observation/images/scene"].rate_hz == pytest.approx(30.0, abs=0.1)
    assert quality.streams["franka/joint_states"].missing == 0
    assert quality.streams["policy/status"].missing is None  # events have no period
    assert all(age.over == 0 for age in quality.ages.values())
    assert quality.steps is not None and quality.steps.rewards == {"sim/predicate": 63}


def lose(share: float) -> Change:
    rng = np.random.default_rng(1)
    return on(SCENE, lambda frames: [m for m in frames if rng.random() > share])


def shift(topic: str, by_ms: float) -> Change:
    return on(topic, lambda all_: [stamped(m, stamp(m) + round(by_ms * MS)) for m in all_])


def drift(messages: list[Raw]) -> list[Raw]:
    first = stamp(messages[0])
    return [stamped(m, round(stamp(m) - 0.03 * (stamp(m) - first))) for m in messages]


def freeze(frames: list[Raw]) -> list[Raw]:
    still = frames[30][4][-IMAGE_BYTES:]
    rest = [(*m[:4], m[4][:-IMAGE_BYTES] + still) for m in frames[30:]]
    return frames[:30] + rest


def blacken(frames: list[Raw]) -> list[Raw]:
    return [(*m[:4], m[4][:-IMAGE_BYTES] + bytes(IMAGE_BYTES)) for m in frames]


def repeat(messages: list[Raw]) -> list[Raw]:
    return messages + messages[::4]


def silence(frames: list[Raw]) -> list[Raw]:
    return frames[:40] + frames[75:]


@pytest.mark.parametrize(
    ("change", "threshold", "where", "said"),
    [
        (lose(0.4), "missing", "scene", r"\d\d of 1\d\d frames were dropped on the way"),
        (lose(0.4), "observations_lost", "", "a sample is not in the bag"),
        (shift(WRIST, 300.0), "future", "wrist", "its clock is ahead by up to 29\\d ms"),
        (shift(WRIST, -1500.0), "clock_behind", "wrist", "150\\d ms old when they are published"),
        (on(STATE, drift), "clock_drift", "state", "its clock moved by -\\d\\d ms"),
        (on(SCENE, freeze), "frozen", "scene", "stood still for 2.\\d\\d s while the robot moved"),
        (on(SCENE, freeze), "observations_differing", "", "are not what the policy saw"),
        (on(SCENE, blacken), "black", "scene", "117 of 117 frames are all black"),
        (on(STATE, repeat), "repeated", "state", "121 samples have the stamp of an earlier one"),
        (on(WRIST, silence), "gap", "wrist", "nothing came for 1[12]\\d\\d ms"),
        (on(WRIST, silence), "over_age", "wrist", "no sample was younger than 0.15 s"),
        (on("/fr3/reward", lambda all_: []), "reward_missing", "steps", "63 of 63 steps have no"),
        (
            on("/fr3/safety/executed", lambda a: a[::3]),
            "executed_missing",
            "steps",
            "have no exec",
        ),
    ],
)
def test_a_fault_is_bad_and_told_in_its_own_words(
    change: Change, threshold: str, where: str, said: str, tmp_path: Path
) -> None:
    judged = check(faulty(tmp_path / "bag", change))
    finding = found(judged, threshold, where)
    assert judged.verdict is Verdict.BAD and finding.verdict is Verdict.BAD
    assert re.search(said, finding.reason), finding.reason
    assert f"bad: {finding.where}: {finding.reason}" in "\n".join(lines([judged]))


def test_what_was_not_changed_is_not_blamed(tmp_path: Path) -> None:
    judged = check(faulty(tmp_path / "bag", shift(WRIST, 300.0)))
    blamed = {f.where for f in judged.findings}
    assert not blamed & {"observation/images/scene", "observation/state", "image_scene", "state"}
    assert check(faulty(tmp_path / "same")).verdict is Verdict.GOOD


def test_what_the_recorder_dropped(tmp_path: Path) -> None:
    some = check(faulty(tmp_path / "some", dropped={STATE: 2}))
    assert found(some, "dropped").verdict is Verdict.DOUBTFUL is some.verdict
    many = check(faulty(tmp_path / "many", dropped={STATE: 60}))
    finding = found(many, "dropped", "observation/state")
    assert finding.verdict is Verdict.BAD
    assert finding.reason == "the recorder dropped 60 of 544 messages"


def test_a_salvaged_bag_is_doubtful(tmp_path: Path) -> None:
    judged = check(faulty(tmp_path / "bag", metadata={"salvaged_from": "cut.mcap"}))
    assert judged.verdict is Verdict.DOUBTFUL
    assert found(judged, "salvaged").reason == "was salvaged from cut.mcap"


def test_interventions_and_silence_are_measured(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "bundles", CONTRACT)
    bundle = maker("level", student(CONTRACT, gain=1e-6, level=1.0))
    bag = play(
        tmp_path / "bag", bundle, maker.trusted, 2,
        change=lambda messages: messages.append(switch("intervention/active", 5, True)),
    )  # fmt: skip
    judged = check(bag)
    # It has no outcome, so it gives no steps; what can be measured is measured all the same.
    assert judged.quality.steps is None and "has no outcome" in (judged.quality.problem or "")
    assert found(judged, "not_convertible").verdict is Verdict.BAD
    assert found(judged, "blind").reason.startswith("at 4 of 50 ticks")
    assert judged.quality.timeline.silences["observation/images/wrist"]


def test_labels_actions_and_interventions_are_counted(tmp_path: Path) -> None:
    episode = make_episode(5, seconds=1.5)
    quality = measure_bag(episode.write(tmp_path / "bag"), episode.contract)
    built = build_episode(tmp_path / "bag", episode.contract).transitions
    steps = quality.steps
    assert steps is not None and steps.outcome == "success"
    assert steps.intervened == built.intervened.sum() > 0
    assert steps.interventions == built.intervention_start.sum() > 0
    assert sum(steps.versions.values()) == steps.steps == len(built.reward)
    assert sum(steps.rewards.values()) + steps.reward_missing == steps.steps
    assert steps.executed + steps.executed_missing == steps.steps
    assert steps.executed_missing > 0 < steps.reasons["workspace"] <= steps.limited
    assert set(quality.timeline.intervened) <= set(episode.ticks)
    assert findings(quality, episode.contract)


def test_only_bounded_axes_saturate() -> None:
    action = CONTRACT.action
    rows = np.tile(np.zeros(5, np.float32), (4, 1))
    rows[0] = action.maximum
    rows[1, 1] = action.minimum[1]
    assert saturated(rows, CONTRACT) == {"tool_x": 1, "tool_y": 2, "tool_z": 1, "tool_yaw": 1}


def test_labels_of_one_kind_only_are_doubtful() -> None:
    assert balance({"success": 9}) == []
    assert balance({"success": 9, "failure": 1}) == []
    (finding,) = balance({"success": 12})
    assert finding.verdict is Verdict.DOUBTFUL
    assert finding.reason.startswith("12 of 12 episodes are a success")


def test_the_sum_is_of_all_bags(tmp_path: Path) -> None:
    bags = [check(SAMPLE), check(faulty(tmp_path / "bag", on(SCENE, blacken)))]
    whole = total(bags)
    assert whole["verdicts"] == {"good": 1, "doubtful": 0, "bad": 1} and whole["verdict"] == "bad"
    assert whole["steps"] == 126 and whole["outcomes"] == {"success": 2}
    assert whole["thresholds_passed"]["black"] == 1
    assert as_dict(bags, ["x: y; z"])["good"] is False
    assert any(line.startswith("in sum: 2 bags: 1 good") for line in lines(bags))


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    bags = [check(faulty(tmp_path / "bag", on(SCENE, silence)))]
    html = page(bags, [f"{name}: is damaged; record it again"], CONTRACT)
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.search(r"(src|href)\s*=\s*[\"']?(?!data:)", html)
    assert "http://" not in html and "https://" not in html
    assert html.count("<svg") == 1 + sum(
        bool(part) for part in (total(bags)["outcomes"], total(bags)["rewards"], {"one": 1})
    )
    assert "✗\u00a0bad" in html and "nothing came for" in html
