"""Who learns from what: counted by HIL-SERL's loop, and found in the stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_messages import EVENT, VECTOR, event, image, vector
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.observe import Observer
from vla_rl_nodes.replay.convert import convert_episode
from vla_rl_nodes.replay.episode import EpisodeData, load_header
from vla_rl_nodes.replay.store.choosers import online_and_shown
from vla_rl_nodes.replay.store.fill import append_folders
from vla_rl_nodes.replay.store.forms import Chunks, Form, Slices, Steps
from vla_rl_nodes.replay.store.hil import online_pool, shown_pool
from vla_rl_nodes.replay.store.pool import Pool
from vla_rl_nodes.replay.store.sampler import Sampler
from vla_rl_nodes.replay.store.store import EpisodeStore

from ..episode_bag import MS, START_NS, Episode, Message, small_contract
from .made import AXES, changed, make

NARROW = Steps(observations=("state",))
Place = tuple[str, int]

# p: the policy's action was executed; H: a person's; h: a person's was sent and none executed;
# t: a person's was sent, and the policy's was executed before it came; a dot: nothing was.
PATTERNS = [
    "pppppppp",  # nobody
    "ppHHppHHHp",  # two interventions
    "ppHHpHHHpp",  # with one step of the policy between them
    "HHHppppHH",  # at the start and at the end
    "HHHHHH",  # all of it
    "ppHh.HHppp",  # steps without an executed action inside, which do not make it two
    "p.p.hpHp.h",  # and elsewhere
    "H",
]


class Loop:
    """What HIL-SERL's actor does with each step of its environment, for an oracle.

    A transition is appended to the online store, and to the demonstrations, too, where a person's
    action took the place of the policy's. An intervention is counted at its first step. In its
    environment every step executes an action; a step without one is no transition.
    """

    def __init__(self) -> None:
        self.online: list[Place] = []
        self.shown: list[Place] = []
        self.interventions = 0

    def episode(self, name: str, pattern: str) -> None:
        before = False
        for step, who in enumerate(pattern):
            if who not in "ptH":
                continue
            self.online.append((name, step))
            if who == "H":
                self.interventions += not before
                self.shown.append((name, step))
            before = who == "H"


def played(number: int, pattern: str) -> EpisodeData:
    """An episode in which that happened; it ran out of time where its number is even."""
    steps = len(pattern)
    whole = make(number, steps)
    random = np.random.default_rng(number)
    person = np.array([who in "Hh" for who in pattern])
    acted = np.array([who in "Hp" for who in pattern])

    def actions(rows: NDArray[np.bool_]) -> NDArray[np.float32]:
        values = random.normal(size=(steps, AXES)).astype(np.float32)
        values[~rows] = np.nan
        return values

    ends = np.arange(steps) == steps - 1
    sent = actions(person)
    return changed(
        whole, intervened=person, action_intervention=sent,
        action_executed=np.where((person & acted)[:, None], sent, actions(acted)),
        terminated=ends & bool(number % 2), truncated=ends & (number % 2 == 0),
        intervention_start=None, intervention_end=None,
    )  # fmt: skip


def in_vain(pattern: str) -> int:
    """Interventions of which nothing was executed: not known there, and counted here."""
    return sum("h" in part and "H" not in part for part in pattern.split("p"))


def stored(folder: Path, episodes: Sequence[EpisodeData]) -> EpisodeStore:
    store = EpisodeStore(folder, writable=True)
    for episode in episodes:
        assert store.append(episode)
    return store


def places(pool: Pool, source: int | None = None) -> Counter[Place]:
    """How often each step of each episode can be drawn, of one view or of all."""
    found: Counter[Place] = Counter()
    for entry in pool.entries:
        if source is None or entry["source"] == source:
            episodes = pool.views[entry["source"]].store.episodes
            name = episodes[entry["episode"]].header.episode_id
            found[name, int(entry["row"] - entry["begin"])] += 1
    return found


def check(folder: Path, patterns: Sequence[str], demonstrations: Sequence[str]) -> None:
    loop, taught = Loop(), Loop()
    episodes = [played(number, pattern) for number, pattern in enumerate(patterns)]
    shows = [played(100 + number, pattern) for number, pattern in enumerate(demonstrations)]
    for episode, pattern in zip(episodes, patterns, strict=True):
        loop.episode(episode.header.episode_id, pattern)
    for episode, pattern in zip(shows, demonstrations, strict=True):
        taught.episode(episode.header.episode_id, pattern)
    online, demos = stored(folder / "online", episodes), stored(folder / "demos", shows)
    first, second = online_pool(online, NARROW), shown_pool(online, demos, NARROW)
    assert places(first) == Counter(loop.online)
    assert places(second, 0) == Counter(loop.shown)
    assert places(second, 1) == Counter(taught.online)
    assert max([*places(first).values(), *places(second).values()], default=1) == 1
    starts = online.rows.column("intervention_start").sum()
    ends = online.rows.column("intervention_end").sum()
    assert starts == ends == loop.interventions + sum(map(in_vain, patterns))


def test_every_transition_is_where_hil_serl_puts_it(tmp_path: Path) -> None:
    check(tmp_path, PATTERNS, ["pppp", "HHHH", "p.pp"])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.text(alphabet="ppHHh.", min_size=1, max_size=20), min_size=1, max_size=4),
    st.lists(st.text(alphabet="pH.", min_size=1, max_size=8), min_size=1, max_size=2),
)
def test_whatever_happens_none_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str], shown: list[str]
) -> None:
    check(tmp_path_factory.mktemp("hil"), patterns, shown)


def test_a_timeout_is_stored_like_any_other_transition_and_not_as_an_end(tmp_path: Path) -> None:
    store = stored(tmp_path / "s", [played(0, "ppHH"), played(1, "ppHH")])
    pool = online_pool(store, NARROW)
    rows = store.rows.record[pool.entries["row"]]
    assert rows["truncated"].sum() == rows["terminated"].sum() == 1
    assert not (rows["truncated"] & rows["terminated"]).any()
    last = [entry for entry in pool.entries if entry["row"] == entry["last"] - 1]
    assert len(last) == 2


@pytest.mark.parametrize(
    "form",
    [
        Steps(observations=("state",), fields=("reward",)),
        Steps(observations=("state",), fields=("reward",), optional=("action_executed",)),
        Slices(observations=("state",), fields=("terminated",), length=3),
    ],
)
def test_a_form_that_lets_steps_without_an_action_in_is_refused(
    tmp_path: Path, form: Form
) -> None:
    store = stored(tmp_path / "s", [played(1, "pp.HhHp")])
    with pytest.raises(InputError, match="form: would hold steps without an executed action"):
        online_and_shown(store, store, form, 0)


@pytest.mark.parametrize(
    "form",
    [
        NARROW,
        Slices(observations=("state",), length=3),
        Chunks(observations=("state",), length=4, gamma=0.99),
        Chunks(observations=("state",), length=2, gamma=0.99, whole=True),
    ],
)
def test_no_sample_holds_a_step_without_an_executed_action(tmp_path: Path, form: Form) -> None:
    random = np.random.default_rng(5)
    patterns = ["".join(random.choice(list("pppHHh."), size=40)) for _ in range(12)]
    episodes = [played(number, pattern) for number, pattern in enumerate(patterns)]
    assert any(np.isnan(e.transitions.action_executed).any() for e in episodes)
    online = stored(tmp_path / "online", episodes)
    demos = stored(tmp_path / "demos", [played(50, "pppppp.pppppp")])
    sampler = Sampler(online_and_shown(online, demos, form, 3), 64)
    for _ in range(40):
        batch = sampler.sample()
        name = "chunk.action" if isinstance(form, Chunks) else "action_executed"
        assert np.isfinite(batch[name]).all()


class Seen:
    """Observations at every tick and at the end, and what a policy makes of them."""

    def __init__(self, episode: Episode) -> None:
        random = np.random.default_rng(len(episode.ticks))
        self._observer = Observer(episode.contract)
        self._samples: list[tuple[int, str, Any]] = []
        for at in [*episode.ticks, episode.end_ns]:
            for stream in episode.contract.streams:
                stamp = at - 5 * MS
                if stream.kind == "image":
                    pixels = random.integers(0, 256, size=stream.shape, dtype=np.uint8)
                    body = image(stamp, pixels)
                else:
                    body = vector(stamp, list(stream.names), random.normal(size=stream.shape))
                arrival = stamp + MS
                episode.messages.append(Message(stream.topic, stream.type, stamp, arrival, body))
                self._samples.append((stamp, stream.key, body))

    def at(self, tick: int) -> tuple[dict[str, int], str]:
        for stamp, key, body in [s for s in self._samples if s[0] <= tick]:
            self._observer.add(key, body, stamp, stamp + MS)
        self._samples = [s for s in self._samples if s[0] > tick]
        seen = self._observer.observe(tick)
        assert not isinstance(seen, str)
        return dict(seen.stamps_ns), seen.sha256


def recorded(pattern: str, outcome: str) -> Episode:
    """What the recorder writes of an episode in which that happened."""
    contract = small_contract()
    period = contract.period_ns
    ticks = [START_NS + number * period for number in range(len(pattern))]
    end = START_NS + len(pattern) * period
    episode = Episode(contract, f"ep-{pattern.replace('.', '_')}", outcome, end, ticks)
    add = episode.messages.append
    names = list(contract.action.names)

    def vectors(topic: str, tick: int, value: float, late: int) -> None:
        add(Message(topic, VECTOR, tick, tick + late * MS, vector(tick, names, [value] * 5)))

    streams = Seen(episode)
    for number, (tick, who) in enumerate(zip(ticks, pattern, strict=True)):
        stamps, sha256 = streams.at(tick)
        values = {
            "tick": str(number), "episode_id": episode.episode_id, "observation_sha256": sha256,
            "chunk_id": "0", "chunk_index": str(number), "followed": str(int(who in "p.")),
        }  # fmt: skip
        values |= {f"stamp.{key}": str(at) for key, at in stamps.items()}
        add(
            Message(
                "policy/status", EVENT, tick, tick + 2 * MS, event(tick, "running", values, "v")
            )
        )
        vectors("policy/command", tick, number, 1)
        if who in "Hht":
            vectors("intervention/command", tick, 100 + number, 3)
        if who in "Hpt":
            vectors("safety/executed", tick, number + 100 * (who == "H"), 8)
            source = "intervention" if who == "H" else "policy"
            told = {"reasons": "", "command_stamp": str(tick), "source": source}
            add(Message("safety/status", EVENT, tick, tick + 9 * MS, event(tick, "armed", told)))
        at = tick + 30 * MS
        add(Message("reward", VECTOR, at, at + MS, vector(at, ["reward"], [0.0], "sim/predicate")))
    common = {
        "episode_id": episode.episode_id, "seed": "1", "task": "pick", "robot": "fr3",
        "contract_sha256": contract.sha256, "reason": "because",
    }  # fmt: skip
    for message, at in (
        ("ready", START_NS - 200 * MS),
        ("running", START_NS - MS),
        (outcome, end),
    ):
        add(Message("episode/state", EVENT, at, at + MS, event(at, message, common)))
    episode.messages.sort(key=lambda m: m.arrival_ns)
    return episode


def test_the_routing_holds_from_a_bag_to_the_sampler(tmp_path: Path) -> None:
    bags = {"ppHHppHHHp": "success", "HHHppppHH": "timeout", "ptHh.HHtpp": "failure",
            "pppppp": "timeout"}  # fmt: skip
    loop = Loop()
    folders = []
    for pattern, outcome in bags.items():
        episode = recorded(pattern, outcome)
        bag = episode.write(tmp_path / "bags" / episode.episode_id)
        folders.append(convert_episode(bag, episode.contract, tmp_path / "replay"))
        loop.episode(episode.episode_id, pattern)
    assert sum(load_header(folder).interventions for folder in folders) == loop.interventions == 5
    online = EpisodeStore(tmp_path / "online", writable=True)
    assert append_folders(online, folders) == len(bags)
    demos = EpisodeStore(tmp_path / "demos", writable=True)
    append_folders(demos, folders[-1:])
    form = Steps(observations=("state",), optional=("action_intervention", "action_proposed"))
    first, second = online_pool(online, form), shown_pool(online, demos, form)
    assert places(first) == Counter(loop.online)
    assert places(second, 0) == Counter(loop.shown)
    assert sum(places(second, 1).values()) == 6

    batch = Sampler(online_and_shown(online, demos, form, 7), 4000).sample()
    half = 2000
    executed, person = batch["action_executed"][:, 0], batch["action_intervention"][:, 0]
    source, step = batch["at.source"], batch["at.step"]
    assert (source[:half] == 0).all() and set(source[half:]) == {1, 2}
    by_hand = source == 1
    assert (executed[by_hand] == 100 + step[by_hand]).all()
    assert (executed[by_hand] == person[by_hand]).all()
    assert (batch["action_proposed"][:, 0] == step).all()  # recorded at every step
    drawn = {(int(e), int(s)) for e, s in zip(batch["at.episode"], step, strict=True)}
    assert len(drawn) == len(loop.online)
