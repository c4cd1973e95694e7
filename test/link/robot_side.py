"""A robot's link that runs against the learner of a test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.bench.link.bags import write_episode
from vla_rl_nodes.link.ledger import Entry, Ledger
from vla_rl_nodes.link.robot_link import RobotLink
from vla_rl_nodes.link.robot_settings import RobotSettings

from .fake_learner import FakeLearner
from .robot_certificates import Authority

FRAME = 3 * 128 * 128


def until(condition: Callable[[], Any], what: str = "it", timeout_s: float = 60.0) -> Any:
    """What a condition gives once it is true."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)


class Side:
    """One robot: its folders, its settings, and what it has said.

    Attributes:
        lines: everything told to a person.
        offered: (version, folder, whether new) of bundles.
        faults: of the link's thread.
    """

    def __init__(self, folder: Path, authority: Authority, learner: str) -> None:
        self.folder, self.learner = folder, learner
        self.bags, self.state = folder / "bags", folder / "state"
        self.bags.mkdir(parents=True, exist_ok=True)
        self.certificates = authority.robot()
        self.lines: list[str] = []
        self.offered: list[tuple[str, Path, bool]] = []
        self.faults: list[str] = []

    def settings(self, **changes: Any) -> RobotSettings:
        """Impatient ones; ``changes`` are of upload, disk or bundles."""
        return RobotSettings.model_validate({
            "robot": "fr3", "learner": self.learner, "certificates": self.certificates,
            "bags": self.bags, "state": self.state,
            "upload": {
                "part_bytes": 1 << 16, "scan_s": 0.05, "patience_s": 10.0, "retry_s": 0.05,
                "refused_retry_s": 600.0, **changes.get("upload", {}),
            },
            "disk": changes.get("disk", {}),
            "bundles": {"wait_s": 0.1, **changes.get("bundles", {})},
        })  # fmt: skip

    def say(self, line: object, kind: str | None = None) -> None:
        self.lines.append(str(line))

    def episode(self, name: str, frames: int = 1, seed: int = 0) -> Manifest:
        """A closed bag."""
        return write_episode(self.bags, name, "fr3", "franka_pick", frames * FRAME, seed)

    def entry(self, name: str) -> Entry | None:
        """The row in the ledger, while nothing runs."""
        with Ledger(self.settings().ledger) as ledger:
            return ledger.entry(name)

    def said(self, part: str) -> str:
        """The line that holds a text."""
        line: str = until(
            lambda: next((line for line in list(self.lines) if part in line), ""), part
        )
        return line

    @contextmanager
    def running(self, **changes: Any) -> Iterator[RobotLink]:
        """The link, started; no fault of its own may end it."""
        link = RobotLink(
            self.settings(**changes), self,
            lambda *offer: self.offered.append(offer), self.faults.append,
        )  # fmt: skip
        with link:
            link.start()
            yield link
        assert not self.faults
        for line in self.lines:
            assert "\n" not in line and "Traceback" not in line


@contextmanager
def side(folder: Path) -> Iterator[tuple[Side, FakeLearner]]:
    """A robot and its learner, who know each other."""
    authority = Authority(folder / "keys")
    with FakeLearner(authority.learner()) as learner:
        yield Side(folder / "robot", authority, learner.url), learner
