from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.replay.run_bag_timing import SEED_STEP, Asked, Reported, Timing, read_timing

START_NS = 1_760_000_000_000_000_000


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Reported], dict[int, Asked], int]:
    """Ticks as a policy reports them, and the chunks that it really used."""
    count = draw(st.integers(20, 80))
    seed = draw(st.integers(0, (1 << 31) - 1))
    stamps = [START_NS + k * 50_000_000 + draw(st.integers(0, 900_000)) for k in range(count)]
    rows: list[tuple[int, int, int]] = [(-1, -1, -1)] * count  # noise, index, prefix
    asked: dict[int, Asked] = {}
    row = 0
    while True:
        delay = draw(st.integers(1, 6))
        prefix = draw(st.integers(0, 6))
        answered = row + delay
        if answered >= count:
            break
        used = rows[row][1]
        asked[row] = Asked(row, answered, prefix, None if used < 0 else used)
        noise = seed * SEED_STEP + stamps[row]
        for k in range(answered, count):
            rows[k] = (noise, k - row, prefix)
        row = answered + draw(st.integers(1, 4))
    ticks = [
        Reported(stamp, noise, index, prefix, number, False)
        for number, (stamp, (noise, index, prefix)) in enumerate(zip(stamps, rows, strict=True))
    ]
    return ticks, asked, seed


@given(recordings())
def test_every_chunk_is_placed_at_the_tick_that_asked(
    made: tuple[list[Reported], dict[int, Asked], int],
) -> None:
    ticks, asked, seed = made
    timing = read_timing(ticks, [True] * len(ticks))
    assert timing == Timing(asked, seed if asked else 0, 0)


@given(recordings(), st.data())
def test_a_tick_that_is_lost_makes_its_chunk_impossible_and_no_other(
    made: tuple[list[Reported], dict[int, Asked], int], data: st.DataObject
) -> None:
    ticks, asked, seed = made
    if len(asked) < 3:
        return
    gone = data.draw(st.sampled_from(sorted(asked)))
    timing = read_timing(ticks, [row != gone for row in range(len(ticks))])
    assert timing.unplaced == 1 and timing.seed == seed
    assert timing.asked == {row: a for row, a in asked.items() if row != gone}


def test_nothing_is_placed_where_no_seed_is_told() -> None:
    ticks = [Reported(START_NS + k, -1, -1, -1, k, False) for k in range(5)]
    assert read_timing(ticks, [True] * 5) == Timing({}, 0, 0)
    odd = [Reported(START_NS + k, 12345, 0, 0, k, False) for k in range(5)]
    assert read_timing(odd, [True] * 5).unplaced == 1
