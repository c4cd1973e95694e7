"""A policy serves only after the shadow, stays only after its trial, and comes back only once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.evidence import ShadowChunk
from vla_rl_nodes.policy.swap import LEAST_CHUNKS, LEAST_COMMANDS, Phase, Swap, SwapSettings

OLD, NEW, OTHER = "a" * 12, "b" * 12, "c" * 12
SETTINGS = SwapSettings(
    shadow_chunks=5, trial_episodes=2, largest_late_share=0.25, largest_trip_rise=0.2
)
GOOD = ShadowChunk(milliseconds=3.0, late=False, difference=0.1)
LATE = ShadowChunk(milliseconds=900.0, late=True, difference=0.1)

BAD = ShadowChunk(milliseconds=3.0, late=False, difference=None, problem="gave nothing")


def shadowing() -> Swap:
    swap = Swap(OLD, SETTINGS)
    assert swap.propose(NEW, "new")
    assert swap.opened(NEW)
    return swap


def ready() -> Swap:
    swap = shadowing()
    for _ in range(SETTINGS.shadow_chunks):
        swap.shadowed(GOOD)
    return swap


def on_trial() -> Swap:
    swap = ready()
    swap.begin_episode()
    return swap


def told(swap: Swap) -> list[str]:
    return [news.what for news in swap.news]


def test_a_good_policy_is_shadowed_tried_and_confirmed() -> None:
    swap = Swap(OLD, SETTINGS)
    swap.propose(NEW, "new")
    assert (swap.phase, swap.serving, swap.candidate) == (Phase.LOADING, OLD, NEW)
    swap.opened(NEW)
    for _ in range(SETTINGS.shadow_chunks):
        assert (swap.phase, swap.serving) == (Phase.SHADOWING, OLD)
        swap.shadowed(GOOD)
    assert (swap.phase, swap.serving) == (Phase.READY, OLD)
    for number in range(SETTINGS.trial_episodes):
        assert swap.phase is (Phase.TRIAL if number else Phase.READY)
        swap.begin_episode()
        assert (swap.phase, swap.serving, swap.standby) == (Phase.TRIAL, NEW, OLD)
        swap.planned(chunks=12, slow=0)
        swap.end_episode(finished=True)
    assert (swap.phase, swap.serving, swap.standby) == (Phase.SERVING, NEW, "")
    assert told(swap) == ["serving", "loading", "shadowing", "ready", "trial", "confirmed"]
    assert swap.news[-1].version == NEW and swap.news[-1].state["serving"] == NEW


def test_it_does_not_take_over_in_the_middle_of_an_episode() -> None:
    swap = Swap(OLD, SETTINGS)
    swap.begin_episode()
    swap.propose(NEW, "new")
    swap.opened(NEW)
    for _ in range(SETTINGS.shadow_chunks):
        swap.shadowed(GOOD)
    swap.planned(3, 0)
    swap.end_episode(finished=True)
    assert (swap.phase, swap.serving) == (Phase.READY, OLD)


def test_the_shadow_ends_with_the_first_chunk_that_must_not_be_executed() -> None:
    swap = shadowing()
    swap.shadowed(GOOD)
    swap.shadowed(ShadowChunk(2.0, False, None, "gave a chunk that is not finite"))
    assert (swap.phase, swap.serving, swap.candidate) == (Phase.SERVING, OLD, "")
    news = swap.news[-1]
    assert (news.what, news.version) == ("refused", NEW)
    assert news.reason == ("new: gave a chunk that is not finite in the shadow; export it again")
    swap.begin_episode()
    assert swap.serving == OLD


def test_too_many_slow_chunks_in_the_shadow_are_refused_before_all_are_seen() -> None:
    swap = shadowing()
    swap.shadowed(LATE)
    assert swap.phase is Phase.SHADOWING  # 1 of 5 is allowed
    swap.shadowed(LATE)
    assert swap.phase is Phase.SERVING
    assert "2 of 2 chunks took longer" in swap.news[-1].reason
    assert "900 ms" in swap.news[-1].reason
    assert swap.news[-1].state["shadow_late"] == "2"


def test_the_shadow_figures_are_told_when_it_is_ready() -> None:
    swap = shadowing()
    for number in range(SETTINGS.shadow_chunks):
        swap.shadowed(ShadowChunk(float(number + 1), False, number / 10))
    state = swap.news[-1].state
    assert state["shadow_chunks"] == "5" and state["shadow_late"] == "0"
    assert float(state["shadow_ms_p50"]) == 3.0 and float(state["shadow_ms_max"]) == 5.0
    assert float(state["shadow_difference_p50"]) == 0.2
    assert float(state["shadow_difference_max"]) == 0.4


def test_an_error_on_trial_brings_the_old_policy_back_at_once() -> None:
    swap = on_trial()
    swap.planned(1, 0)
    swap.failed("it gave no usable chunk")
    assert (swap.phase, swap.serving, swap.standby) == (Phase.SERVING, OLD, "")
    assert swap.news[-1].what == "rolled back" and swap.news[-1].version == NEW


def test_what_was_rolled_back_is_not_taken_again() -> None:
    swap = on_trial()
    swap.failed("it gave no usable chunk")
    with pytest.raises(InputError, match=f"version {NEW} was rolled back.*; restart"):
        swap.propose(NEW, "new")
    assert swap.phase is Phase.SERVING
    assert swap.propose(OTHER, "other")


def test_what_was_only_refused_may_be_offered_again() -> None:
    swap = shadowing()
    swap.refuse(NEW, "new: did not finish its trial run; export it again")
    assert swap.propose(NEW, "new")


def test_an_error_of_the_policy_that_serves_alone_changes_nothing() -> None:
    swap = Swap(OLD, SETTINGS)
    swap.failed("it gave no usable chunk")
    swap.planned(100, 100)
    assert (swap.phase, swap.serving) == (Phase.SERVING, OLD)
    assert told(swap) == ["serving"]


def test_late_chunks_on_trial_bring_the_old_policy_back() -> None:
    swap = on_trial()
    for _ in range(5):
        swap.planned(1, 1)
        assert swap.phase is Phase.TRIAL  # at most 5 of at least 20: a quarter
    swap.planned(1, 1)
    assert swap.serving == OLD
    assert "6 of 6 chunks came late" in swap.news[-1].reason


@given(st.lists(st.booleans(), max_size=200))
def test_late_chunks_end_the_trial_exactly_when_their_share_is_too_large(slow: list[bool]) -> None:
    swap = on_trial()
    for number, late in enumerate(slow):
        seen = slow[: number + 1]
        swap.planned(1, int(late))
        if sum(seen) > 0.25 * max(len(seen), LEAST_CHUNKS):
            assert swap.serving == OLD
            return
        assert swap.serving == NEW


def test_more_limited_commands_than_usual_bring_the_old_policy_back() -> None:
    swap = ready()
    for number in range(100):
        swap.filtered(OLD, limited=number % 10 == 0)  # a tenth is usual
    swap.begin_episode()
    for number in range(LEAST_COMMANDS):
        swap.filtered(NEW, limited=number % 4 == 0)  # a quarter is within the margin
    for _ in range(7):
        swap.filtered(NEW, limited=True)
    assert swap.phase is Phase.TRIAL  # 32 of 107
    swap.filtered(NEW, limited=True)
    assert swap.serving == OLD
    assert swap.news[-1].reason.startswith("the safety filter limited 33 of 108 commands, 10%")


def test_commands_of_the_old_policy_do_not_count_against_the_new_one() -> None:
    swap = on_trial()
    for _ in range(1000):
        swap.filtered(OLD, limited=True)
    assert swap.phase is Phase.TRIAL


def test_the_confirmed_policy_is_the_usual_one_from_then_on() -> None:
    swap = on_trial()
    for number in range(100):
        swap.filtered(NEW, limited=number % 10 == 0)
    for _ in range(SETTINGS.trial_episodes):
        swap.planned(5, 0)
        swap.end_episode(finished=True)
    assert swap.phase is Phase.SERVING
    swap.propose(OTHER, "other")
    swap.opened(OTHER)
    for _ in range(SETTINGS.shadow_chunks):
        swap.shadowed(GOOD)
    swap.begin_episode()
    for number in range(LEAST_COMMANDS):
        swap.filtered(OTHER, limited=number % 4 == 0)
    assert swap.phase is Phase.TRIAL


@pytest.mark.parametrize("chunks", [0, 4])
def test_an_aborted_or_an_empty_episode_proves_nothing(chunks: int) -> None:
    swap = on_trial()
    for _ in range(SETTINGS.trial_episodes + 1):
        swap.planned(chunks, 0)
        swap.end_episode(finished=chunks == 0)
    assert swap.phase is Phase.TRIAL


def test_while_a_policy_is_on_trial_no_other_is_taken() -> None:
    swap = on_trial()
    with pytest.raises(InputError, match=f"version {NEW} is still on trial; wait"):
        swap.propose(OTHER, "other")
    assert swap.serving == NEW


def test_asking_for_the_old_policy_ends_the_trial() -> None:
    swap = on_trial()
    assert not swap.propose(OLD, "old")
    assert (swap.serving, swap.phase) == (OLD, Phase.SERVING)
    assert "operator" in swap.news[-1].reason


@pytest.mark.parametrize("at", [Phase.LOADING, Phase.SHADOWING, Phase.READY])
@pytest.mark.parametrize("instead", [OLD, OTHER])
def test_a_candidate_can_be_withdrawn(at: Phase, instead: str) -> None:
    swap = Swap(OLD, SETTINGS)
    swap.propose(NEW, "new")
    if at is not Phase.LOADING:
        swap.opened(NEW)
    if at is Phase.READY:
        for _ in range(SETTINGS.shadow_chunks):
            swap.shadowed(GOOD)
    assert swap.phase is at
    opens = swap.propose(instead, "instead")
    assert opens == (instead == OTHER)
    assert "withdrawn" in told(swap)
    assert not swap.opened(NEW)  # it comes too late
    swap.begin_episode()
    assert swap.serving == OLD


def test_a_refusal_of_another_bundle_leaves_the_candidate_alone() -> None:
    swap = shadowing()
    swap.refuse("", "elsewhere: is no bundle folder; check the path")
    assert swap.phase is Phase.SHADOWING and swap.candidate == NEW
    assert swap.news[-1].what == "refused" and swap.news[-1].state["phase"] == "shadowing"


EVENTS = st.sampled_from(
    ["propose", "opened", "good", "bad", "late", "begin", "chunk", "slow", "fail", "trip", "end"]
)


@given(st.lists(st.tuples(EVENTS, st.sampled_from([OLD, NEW, OTHER])), max_size=120))
def test_whatever_happens_in_whatever_order_nothing_unproven_serves(
    events: list[tuple[str, str]],
) -> None:
    swap = Swap(OLD, SETTINGS)
    proven, condemned = {OLD}, set()
    shown: dict[str, int] = {}
    for event, version in events:
        before, phase = swap.serving, swap.phase
        if event == "propose":
            try:
                if swap.propose(version, "x"):
                    shown[version] = 0
            except InputError:
                pass
        elif event == "opened":
            swap.opened(version)
        elif event in ("good", "bad", "late"):
            if phase is Phase.SHADOWING:
                shown[swap.candidate] += event != "bad"
            swap.shadowed(
                {"good": GOOD, "late": LATE}.get(event) or ShadowChunk(1, False, None, "x")
            )
        elif event == "begin":
            swap.begin_episode()
        elif event in ("chunk", "slow"):
            swap.planned(1, int(event == "slow"))
        elif event == "fail":
            swap.failed("x")
        elif event == "trip":
            swap.filtered(version, True)
        else:
            swap.end_episode(True)
        if swap.serving != before:
            if event == "begin":
                assert phase is Phase.READY
                assert shown[swap.serving] >= SETTINGS.shadow_chunks
            else:
                assert phase is Phase.TRIAL and swap.serving in proven
                condemned.add(before)
        if swap.phase is Phase.SERVING:
            proven.add(swap.serving)
        assert swap.serving not in condemned and swap.candidate not in condemned
        assert bool(swap.standby) == (swap.phase is Phase.TRIAL)
        waiting = (Phase.LOADING, Phase.SHADOWING, Phase.READY)
        assert bool(swap.candidate) == (swap.phase in waiting)
