from __future__ import annotations

from vla_rl_nodes.episodes.reset_watch import ResetLimits, ResetWatch

S = 1_000_000_000


def test_silence_counts_from_the_request_and_from_each_heartbeat() -> None:
    watch = ResetWatch(ResetLimits(silence_s=2.0), "retreat")
    watch.begin(100 * S)
    assert watch.problem(102 * S) == ""
    assert watch.problem(103 * S) == "the retreat was silent for 3.0 s"
    watch.heard(103 * S, asking=False)
    assert watch.problem(105 * S) == ""


def test_a_pause_counts_for_no_limit_but_silence() -> None:
    watch = ResetWatch(ResetLimits(silence_s=1e6, limit_s=10.0, ask_s=10.0), "reset")
    watch.begin(0)
    watch.hold(True, 5 * S)
    assert watch.problem(500 * S) == ""
    watch.hold(False, 500 * S)
    assert watch.problem(505 * S) == "" and "took more than 10 s" in watch.problem(506 * S)
    watch.heard(505 * S, asking=True)
    watch.hold(True, 506 * S)
    assert watch.problem(900 * S) == ""
    watch.hold(False, 900 * S)
    assert "nobody answered the reset within 10 s" in watch.problem(910 * S)


def test_each_time_that_it_asks_counts_by_itself() -> None:
    watch = ResetWatch(ResetLimits(silence_s=1e6, ask_s=10.0), "reset")
    watch.begin(0)
    for begin in (0, 100, 200):
        watch.heard(begin * S, asking=True)
        assert watch.problem((begin + 9) * S) == ""
        watch.heard((begin + 9) * S, asking=False)
        assert watch.problem((begin + 20) * S) == ""
