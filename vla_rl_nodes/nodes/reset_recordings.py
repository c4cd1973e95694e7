"""What resets take from recorded episodes: the start of one, and the joints of demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reset.demonstration import Demonstration
from vla_rl_nodes.episodes.reset.sources import RecordedStart
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.convert import build_episode
from vla_rl_nodes.replay.episode import HEADER, load_episode
from vla_rl_nodes.replay.start_state import start_state
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]

BAG, COMMAND = "*.mcap", "policy/command"
SUCCESS = "success"
SHORTEST, MOST = 5, 100_000  # rows
GAP_NS = 1e9  # between two joint states: in a longer one nobody knows where the arm was


class RecordedStarts:
    """The start of one recorded episode of a simulated robot.

    Args:
        path: a converted episode's folder, or a bag; empty: none is named.
        contract: of that episode.
    """

    def __init__(self, path: str, contract: Contract) -> None:
        self._path, self._contract = path, contract

    def start(self) -> RecordedStart:
        """See :class:`~vla_rl_nodes.episodes.reset.sources.Recordings`."""
        if not self._path:
            place = "reset: parameter recorded"
            raise InputError(place, "names no episode", "give a bag or a converted episode")
        path = Path(self._path).expanduser()
        episode = (
            load_episode(path)
            if (path / HEADER).is_file()
            else build_episode(path, self._contract)
        )
        names, rows = episode.header.privileged_names, episode.transitions.privileged
        if rows is None or not np.isfinite(rows[0]).all():
            raise InputError(path, "holds no simulator's state at its first step",
                             "give an episode that was recorded in simulation")  # fmt: skip
        began = start_state(rows, names, {}, None)
        state = dict(zip(names, rows[0].tolist(), strict=True))
        return RecordedStart(episode.header.episode_id, state, began.sha256)


class RecordedDemonstrations:
    """Bags of one folder whose episodes succeeded.

    Args:
        folder: of bags, or one bag; empty: none is named.
        robot: names of joints and topics.
        period_s: between two rows that are taken of a demonstration.
        say: told one line for each bag that cannot be used; may be called in any thread.
    """

    def __init__(
        self,
        folder: str,
        robot: Robot,
        period_s: float,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder, self._robot, self._period_s, self._say = folder, robot, period_s, say

    def choose(self, seed: int) -> Demonstration:
        """See :class:`~vla_rl_nodes.episodes.reset.sources.Demonstrations`."""
        if not self._folder:
            place = "reset: parameter demonstrations"
            raise InputError(place, "names no folder", "give one of bags whose episodes succeeded")
        folder = Path(self._folder).expanduser()
        bags = sorted({path.parent for path in folder.rglob(BAG)}) if folder.is_dir() else []
        order = np.random.default_rng([seed, 0xDE31]).permutation(len(bags))
        for index in order.tolist():
            try:
                reader = EpisodeReader(bags[index])
                if reader.metadata.get("outcome") == SUCCESS:
                    return self._read(reader, bags[index].name)
            except InputError as error:
                self._say(f"demonstration left out: {' '.join(str(error).split())}")
        raise InputError(
            folder, f"none of its {len(bags)} bags can be used and is of an episode that"
            " succeeded", "record demonstrations first",
        )  # fmt: skip

    def _read(self, reader: EpisodeReader, name: str) -> Demonstration:
        robot = self._robot
        stamps, joints = self._rows(reader, robot.topics.joint_states, robot.joints)
        acted = self._stamps(reader, COMMAND)
        if len(stamps) < SHORTEST or len(acted) < SHORTEST:
            problem = "holds hardly any joint states or commands"
            raise InputError(name, problem, "give another demonstration")
        # A recording begins before the reset is over: it counts from the first command on.
        begin, end, step = max(acted[0], stamps[0]), stamps[-1], self._period_s * 1e9
        widest = np.diff(stamps)[stamps[1:] > begin].max(initial=0.0)
        if widest > GAP_NS or (end - begin) / step > MOST:
            problem = f"its joint states have a gap of {widest / 1e9:.1f} s or too many rows"
            raise InputError(name, problem, "give another demonstration")
        at = np.arange(begin, end, step)
        if len(at) < SHORTEST:
            raise InputError(name, "ends before it begins", "give another demonstration")
        rows = np.stack([np.interp(at, stamps, column) for column in joints.T], axis=1)
        if robot.gripper is None or robot.topics.gripper_joint_states is None:
            return Demonstration(name, rows, None)
        topic = robot.topics.gripper_joint_states
        times, fingers = self._rows(reader, topic, robot.gripper.joints)
        widths = None if len(times) == 0 else np.interp(at, times, fingers.sum(axis=1))
        return Demonstration(name, rows, widths)

    def _topic(self, reader: EpisodeReader, topic: str) -> str | None:
        """The topic in whatever namespace it was recorded; None where it was not."""
        return next((t for t in reader.topics if t == topic or t.endswith(f"/{topic}")), None)

    def _stamps(self, reader: EpisodeReader, topic: str) -> list[float]:
        found = self._topic(reader, topic)
        messages = [] if found is None else reader.messages(found)
        return sorted(float(stamp_ns(decoded.message)) for decoded in messages)

    def _rows(
        self, reader: EpisodeReader, topic: str, names: Sequence[str]
    ) -> tuple[Array, Array]:
        """Stamps [m], ns, and values [m, len(names)] of a topic, in any namespace."""
        found = self._topic(reader, topic)
        stamps: list[float] = []
        rows: list[Array] = []
        for decoded in [] if found is None else reader.messages(found):
            try:
                values = named_vector(decoded.message, names, topic)
            except InputError:
                continue  # as the live nodes refuse it
            stamp = float(stamp_ns(decoded.message))
            if not stamps or stamp > stamps[-1]:
                stamps.append(stamp)
                rows.append(values)
        return np.array(stamps), np.array(rows).reshape(len(rows), len(names))
