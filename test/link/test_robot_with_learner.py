"""Both sides as they are: an episode there, a policy back, and what became of it told."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

from bundles import Maker

from vla_rl_nodes.bench.link.bags import write_episode
from vla_rl_nodes.bench.link.check import Sent, judge
from vla_rl_nodes.bench.link.site import Site
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.link.records import Records
from vla_rl_nodes.link.robot_link import RobotLink
from vla_rl_nodes.link.robot_settings import load_robot_settings

from .robot_side import until


class Lines(list[str]):
    """What is told to a person."""

    def say(self, line: object, kind: str | None = None) -> None:
        self.append(str(line))


def test_an_episode_there_and_a_policy_back(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "maker", load_contract("franka_pick"))
    published = tmp_path / "published"
    published.mkdir()
    keys = str(maker.trusted)
    robot = {
        "upload": {"scan_s": 0.05, "retry_s": 0.2, "part_bytes": 1 << 16},
        "disk": {"keep_bytes": 0},
        "bundles": {"take": "offer", "trusted_keys": keys, "wait_s": 5.0},
    }
    learner = {"bundles": str(published), "trusted_keys": keys}
    lines, faults = Lines(), Lines()
    offered: list[tuple[str, Path, bool]] = []
    with Site(tmp_path / "site", ["fr3"], "franka_pick", robot, learner) as site:
        (bags,) = site.bags
        manifest = write_episode(bags, "e", "fr3", "franka_pick", 200_000, 1)
        site.learner.start()
        link = RobotLink(
            load_robot_settings(site.settings_of(0)), lines, lambda *o: offered.append(o),
            faults.append,
        )  # fmt: skip
        with link:
            link.start()
            until(lambda: not (bags / "e").exists(), "the acknowledgement")
            bundle = maker("one", policy=b"a graph" * 100_000)
            version = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()[:12]
            bundle.rename(published / "one")
            until(lambda: offered, "the bundle")
            assert offered[0][0] == version and offered[0][2]
            link.bundle_happened(version, "taken", "on trial", {version})
            with closing(Records(site.learner_folder)) as records:
                until(lambda: len(records.reports()) == 2, "two reports")
                assert [(r.version, r.state, r.reason) for r in records.reports()] == [
                    (version, "fetched", ""), (version, "taken", "on trial")
                ]  # fmt: skip
        site.learner.close()
        verdict = judge(Sent({("fr3", "e"): manifest}), site.learner_folder)
        assert verdict.stored == 1 and verdict.faults == ()
    assert not faults
