"""The person at the bed helps who needs it, late, and leaves the others alone."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.sim.bed.arm import ArmBed
from vla_rl_nodes.sim.bed.episode import run, success
from vla_rl_nodes.sim.bed.person import BedPerson, PersonSettings


def test_he_leaves_a_good_policy_alone() -> None:
    bed = ArmBed("reach")
    person = BedPerson(bed, 0)
    for seed in range(10):
        person.start(seed)
        episode = run(bed, seed, lambda seen: bed.expert(), "expert", person.act)
        assert episode.terminated and not episode.intervened.any()


def test_he_helps_one_that_stands_still_after_a_while() -> None:
    bed = ArmBed("reach")
    settings = PersonSettings()
    person = BedPerson(bed, 0)
    episodes = []
    for seed in range(10):
        person.start(seed)
        episodes.append(run(bed, seed, lambda seen: np.zeros(3), "nothing", person.act))
        first = int(np.argmax(episodes[-1].intervened))
        assert settings.stall + settings.reaction[0] <= first
        assert first <= settings.stall + settings.reaction[1] + 1
    assert success(episodes) > 0.9
    assert success([run(bed, seed, lambda seen: np.zeros(3), "", None) for seed in range(3)]) == 0


def test_the_same_seed_is_the_same_person() -> None:
    bed = ArmBed("push")
    found = []
    for _ in range(2):
        person = BedPerson(bed, 4)
        person.start(9)
        episode = run(bed, 9, lambda seen: np.zeros(3), "nothing", person.act)
        found.append(episode.actions.tobytes())
    assert found[0] == found[1]
