"""What the monitor is told of an episode that goes well."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.bench.people.retries_signals import Forecast, SimulatorState, TrainedModel
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.sim.actors import ExpertActor, Seen
from vla_rl_nodes.sim.rollout import Rollout
from vla_rl_nodes.sim.scene import load_scene

CONTRACT = load_contract("franka_pick")


def test_the_simulators_state_counts_down_to_the_success_of_the_expert() -> None:
    signal = SimulatorState(CONTRACT, load_scene("franka_pick"))
    with Rollout(CONTRACT, cameras=False) as rollout:
        episode = rollout.run(5, ExpertActor(CONTRACT))
    assert episode.success
    count = len(episode.ticks)
    said = [signal.forecast(5, 1, t.seen, 0.0).steps for t in episode.ticks]
    true = [count - tick for tick in range(count)]
    held = round(0.5 * CONTRACT.policy_hz)  # the rule's time is not passed on here
    assert np.abs(np.subtract(said, true))[:-held].max() < 20.0
    assert signal.forecast(5, 1, episode.last, 0.5) == Forecast(0.0, 1.0)


class Oracle(Judge):
    """Says what it is told to, and remembers whose look it was."""

    looks: list[tuple[str, int]]

    def _verdict(self, look: Look) -> Verdict:
        self.looks.append(look.whose)
        return Verdict(look.stamp_ns, self.source, steps_to_go=31.0, progress_confidence=0.6)


def test_a_models_answer_and_doubt_are_passed_on_for_each_attempt() -> None:
    oracle = Oracle("steps_to_go/oracle", ())
    oracle.looks = []
    signal = TrainedModel(oracle, "lift")
    seen = Seen(7, {}, {})
    assert signal.forecast(3, 1, seen, 0.0) == Forecast(31.0, 0.6)
    signal.forecast(3, 2, seen, 0.0)
    assert oracle.looks == [("3", 1), ("3", 2)]
    assert signal.source == "steps_to_go/oracle" and signal.looks
