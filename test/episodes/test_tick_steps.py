from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.tick_steps import TickSteps


@given(st.lists(st.integers(0, 50), max_size=40), st.lists(st.integers(-5, 60), max_size=20))
def test_a_time_belongs_to_the_last_tick_before_it(ticks: list[int], asked: list[int]) -> None:
    steps, kept = TickSteps(), []
    for stamp in ticks:
        steps.tick(stamp)
        if not kept or stamp > kept[-1]:
            kept.append(stamp)
    assert steps.present == len(kept) - 1
    for at in asked:
        before = [number for number, stamp in enumerate(kept) if stamp <= at]
        assert steps.at(at) == (before[-1] if before else None)


def test_a_long_episode_keeps_its_numbers_and_not_all_of_its_stamps() -> None:
    steps = TickSteps()
    for number in range(10_000):
        steps.tick(10 * number)
        assert steps.present == number and steps.at(10 * number + 3) == number
    assert steps.at(0) is None and steps.at(10 * 9_500) == 9_500
    steps.restart()
    assert steps.present == -1 and steps.at(10**9) is None
