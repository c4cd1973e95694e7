"""What is read from a bag in which a person takes over twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bag_messages import VECTOR, vector
from demo.demo_bag import CONTRACT, MS, DemoBag, Message, smooth

from vla_rl_nodes.bags.manifest import load_manifest, save_manifest
from vla_rl_nodes.bench.people.deeds import Help
from vla_rl_nodes.bench.people.help_judge import judge
from vla_rl_nodes.bench.people.help_record import NEVER, read_evidence
from vla_rl_nodes.bench.people.help_run import spoilt_by
from vla_rl_nodes.nodes.driver import EpisodeResult

NAMES = list(CONTRACT.action.names)
FIRST, SECOND = range(6, 12), range(20, 26)
SEEN_AFTER = 30 * MS  # from the device's push to the tick that it is asked for at


def bag(**changed: object) -> DemoBag:
    """Two seconds; the person acts at the ticks of FIRST and SECOND, and after each nobody does
    for two ticks."""
    made = DemoBag(seconds=2.0, **changed)  # type: ignore[arg-type]
    made.residual[:] = np.nan
    made.executed = made.proposed.copy()
    human = 0.5 * made.proposed[::-1].copy()
    for span in (FIRST, SECOND):
        for k in span:
            tick = made.ticks[k]
            made.executed[k] = human[k]
            made.extra.append(
                Message(
                    "intervention/command", VECTOR, tick + 2 * MS, vector(tick, NAMES, human[k])
                )
            )
        made.executed[span.stop : span.stop + 2] = np.nan
        pushed = made.ticks[span.start] - SEEN_AFTER
        for at, push in ((pushed - 20 * MS, 0.0), (pushed, 0.2), (pushed + 20 * MS, 0.5)):
            said = vector(at, ["x", "button_0"], [push, 0.0], "spacemouse")
            made.extra.append(Message("intervention/device", VECTOR, at + MS, said))
    return made


def the_help(made: DemoBag) -> list[Help]:
    return [
        Help(
            decided_ns=made.ticks[span.start] - 400 * MS, hand_ns=made.ticks[span.start] - 60 * MS,
            felt_ns=made.ticks[span.start] - SEEN_AFTER - 5 * MS,
            let_go_ns=made.ticks[span.stop - 1], cause="no headway", done=True,
        )
        for span in (FIRST, SECOND)
    ]  # fmt: skip


def test_who_acted_when(tmp_path: Path) -> None:
    made = bag()
    evidence = read_evidence(made.write(tmp_path), CONTRACT)
    assert evidence.outcome == "success" and evidence.seed == made.seed
    assert evidence.ticks == len(evidence.stamps_ns) == len(made.ticks)
    intervened = np.zeros(len(made.ticks), dtype=np.bool_)
    intervened[[*FIRST, *SECOND]] = True
    np.testing.assert_array_equal(evidence.intervened, intervened)
    assert list(np.flatnonzero(evidence.starts)) == [FIRST.start, SECOND.start]
    assert list(np.flatnonzero(evidence.ends)) == [FIRST.stop - 1, SECOND.stop - 1]
    # The bag's filter publishes what it executed 6 ms after the tick.
    there = np.isfinite(made.executed).all(axis=1)
    np.testing.assert_array_equal(
        evidence.accepted_ns, np.where(there, np.array(made.ticks) + 6 * MS, NEVER)
    )
    assert list(evidence.device_ns) == [
        made.ticks[span.start] - SEEN_AFTER + later for span in (FIRST, SECOND)
        for later in (0, 20 * MS)
    ]  # fmt: skip
    assert evidence.jerks == 0 and evidence.violations == {}


def test_the_judge_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    made = bag()
    verdict = judge(read_evidence(made.write(tmp_path), CONTRACT), the_help(made))
    assert verdict.faults == ()
    assert (verdict.expected, verdict.recorded, verdict.complete) == (2, 2, 12)
    np.testing.assert_allclose(verdict.takeover_ticks, [41 / 50] * 2)
    np.testing.assert_allclose(verdict.takeover_ticks_in_bag, [36 / 50] * 2)
    assert verdict.handback_ticks == (2, 2)


@pytest.mark.parametrize(
    ("topic", "fault"),
    [
        ("intervention/command", "the take-over at"),
        ("safety/executed", "12 intervened steps have no executed action"),
        ("policy/command", "12 intervened steps have no proposed action"),
        ("intervention/device", "the bag lacks the device's push"),
    ],
)
def test_what_a_bag_lacks_is_found(tmp_path: Path, topic: str, fault: str) -> None:
    made = bag(drop=lambda message: message.topic == topic)
    verdict = judge(read_evidence(made.write(tmp_path), CONTRACT), the_help(made))
    assert any(text.startswith(fault) for text in verdict.faults), verdict.faults


def test_a_jerk_at_a_hand_over_is_found(tmp_path: Path) -> None:
    """A leap of the commanded motion in the middle of the first take-over, and one at rest."""
    made = bag(commands=smooth(215))
    calm = read_evidence(made.write(tmp_path / "calm"), CONTRACT)
    assert made.commands is not None
    made = bag(commands=smooth(215))
    made.commands[15 + 34 :, 2] += 0.003  # 0.34 s after the start: tick 6
    rough = read_evidence(made.write(tmp_path / "rough"), CONTRACT)
    assert calm.jerks == 0 and rough.jerks > 0
    assert rough.jerks_at_hand_over == rough.jerks
    made = bag(commands=smooth(215))
    made.commands[15 + 190 :, 2] += 0.003  # after both
    late = read_evidence(made.write(tmp_path / "late"), CONTRACT)
    assert late.jerks > 0 == late.jerks_at_hand_over


@pytest.mark.parametrize(("lost_ms", "spoilt"), [(0, ""), (600, "the recorder lost observations")])
def test_a_bag_that_lacks_observations_is_spoilt(
    tmp_path: Path, lost_ms: int, spoilt: str
) -> None:
    made = bag()
    lost = range(made.ticks[0], made.ticks[0] + lost_ms * MS)
    made.drop = lambda m: m.topic == "observation/state" and m.publish_ns in lost
    folder = made.write(tmp_path)
    manifest = load_manifest(folder)
    assert manifest is not None
    told = manifest.model_copy(update={"dropped": {"/fr3/observation/state": 1}})
    save_manifest(folder, told)
    assert spoilt_by(EpisodeResult("e", 3, "success", "", folder), CONTRACT) == spoilt
