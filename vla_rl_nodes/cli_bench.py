"""vla-rl bench: the arguments of the measurements."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_rl_nodes.cli_parts import add, contract_option, group, keys_option, whole


def add_bench(commands: Any) -> None:
    """The group ``bench``."""
    bench = group(commands, "bench", "measurements that anyone can repeat")
    text = "chunk strategies against injected delay: success, time, seams"
    parser = add(bench, "rtc", text, _rtc)
    parser.add_argument("--out", type=Path, default=Path("bench_output"), help="output folder")
    parser.add_argument(
        "--models", type=Path,
        help="folder of trained policies; trained there when it is empty; default: OUT/models",
    )  # fmt: skip
    parser.add_argument("--training-seeds", type=whole(1), default=3, metavar="N")
    parser.add_argument(
        "--episodes", type=whole(1), default=34, metavar="N",
        help="episodes of each task, delay, strategy and training seed",
    )  # fmt: skip
    parser.add_argument("--strategies", nargs="+", metavar="NAME", help="some of the table's rows")
    parser.add_argument("--processes", type=whole(1), metavar="N", help="default: one per core")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the episodes and the noise")

    text = "is a 100 Hz tick kept under load, against a plain rclpy timer"
    parser = add(bench, "tick", text, _tick)
    contract_option(parser)
    parser.add_argument("--seed", type=whole(0), default=0, help="of the load and the order")
    parser.add_argument(
        "--duration", type=whole(1), default=20, metavar="SECONDS", help="of each variant"
    )
    parser.add_argument(
        "--policy-node", action="store_true",
        help="instead: the policy node's ticks in the simulated graph while inference is slow",
    )  # fmt: skip
    parser.add_argument(
        "--inference-ms", type=whole(0), default=150, help="added to every inference then"
    )

    parser = add(bench, "policy", "what a chunk costs on every engine that runs here", _policy)
    contract_option(parser)
    keys_option(parser)
    parser.add_argument("--bundle", type=Path, help="default: the shipped one of the contract")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the inputs")
    parser.add_argument("--calls", type=whole(200), default=2000, metavar="N")

    text = "attacks on the safety filter, judged by a checker that shares no code with it"
    parser = add(bench, "safety", text, _safety)
    parser.add_argument("--seed", type=whole(0), default=0, help="of every attack")
    parser.add_argument(
        "--ticks", type=whole(1), default=100_000, metavar="N", help="of each robot's filters"
    )
    parser.add_argument(
        "--robot", action="append", metavar="NAME", help="repeatable; default: all of them"
    )
    parser.add_argument("--jobs", type=whole(1), default=1, metavar="N", help="robots at a time")
    parser.add_argument(
        "--round", type=whole(0), metavar="N", help="only this round, as a violation names it"
    )
    parser.add_argument(
        "--steady", type=whole(0), default=0, metavar="N",
        help="and ordinary motion of one filter for so many ticks",
    )  # fmt: skip

    text = "pushes at table, own body, walls and stops with physics on, measured by the simulator"
    parser = add(bench, "safety-physics", text, _safety_physics)
    parser.add_argument("--seed", type=whole(0), default=0, help="of the states and the pushes")
    parser.add_argument(
        "--states", type=whole(1), default=200, metavar="N", help="random states of each robot"
    )
    parser.add_argument(
        "--robot", action="append", metavar="NAME", help="repeatable; default: all of them"
    )
    parser.add_argument(
        "--episodes", type=whole(0), default=50, metavar="N",
        help="of the expert, which the filter must not change",
    )  # fmt: skip

    text = "kill -9 of policy, person, ingest, cameras and filter: does the arm come to rest"
    parser = add(bench, "safety-kill", text, _safety_kill)
    contract_option(parser)
    parser.add_argument("--seed", type=whole(0), default=0, help="of victims and instants")
    parser.add_argument("--trials", type=whole(1), default=200, metavar="N")
    parser.add_argument(
        "--trial", type=whole(0), metavar="N", help="only this one, as a failure names it"
    )
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keeps the nodes' logs")

    text = "reading, converting, sampling and exporting episodes, against the usual libraries"
    parser = add(bench, "replay", text, _replay)
    parser.add_argument("--seed", type=whole(0), default=0, help="of the bags and the draws")
    parser.add_argument(
        "--megabytes", type=whole(1), default=60, metavar="N", help="size of each bag"
    )
    parser.add_argument(
        "--rounds", type=whole(1), default=7, metavar="N", help="of each way to read and convert"
    )

    text = "robots and learner killed and cut off at random: does every episode arrive once"
    parser = add(bench, "link", text, _link)
    parser.add_argument("--seed", type=whole(0), default=0, help="of the faults and the episodes")
    parser.add_argument("--robots", type=whole(1), default=2, metavar="N")
    parser.add_argument("--episodes", type=whole(1), default=30, metavar="N", help="of each robot")
    parser.add_argument("--kills", type=whole(0), default=200, metavar="N", help="kills and cuts")
    parser.add_argument(
        "--work-folder", type=Path, metavar="FOLDER", help="keeps what the run leaves there"
    )
    parser.add_argument(
        "--lateness", action="store_true",
        help="instead: how late ticks are with the learner up, down, frozen and slow",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=whole(1), default=6, metavar="N", help="of lateness; five episodes each"
    )

    text = "a scripted person helps a half-trained policy; resets; success classifier"
    parser = add(bench, "people", text, _people)
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="of the episodes, the person and the other parts"
    )
    parser.add_argument("--episodes", type=whole(1), default=100, metavar="N", help="with help")
    parser.add_argument(
        "--parts", default="help,alone,resets,unattended,retries,classifier", metavar="NAMES",
        help="some of them, between commas; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--bundle", type=Path, help="the half-trained policy; default: made in minutes, with torch"
    )
    parser.add_argument(
        "--trusted-keys", type=Path, help="folder of the *.pub key that --bundle is signed with"
    )
    parser.add_argument(
        "--time-limit", type=float, default=14.0, metavar="SECONDS", help="of an episode with help"
    )
    parser.add_argument(
        "--repeats", type=whole(0), default=3, metavar="N",
        help="of an episode that a stalled machine spoilt",
    )  # fmt: skip
    parser.add_argument(
        "--faults", type=whole(0), default=0, metavar="N",
        help="and so many episodes of each trouble of the device in the middle of help",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="keeps policy, bags and logs, and takes the policy that is there",
    )  # fmt: skip


def _rtc(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.rtc.command import bench_rtc

    return bench_rtc(options)


def _tick(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.tick.command import tick

    return tick(options)


def _policy(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.policy.command import bench_policy

    return bench_policy(options)


def _safety(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.safety.command import bench_safety

    return bench_safety(options)


def _safety_physics(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.safety_physics.command import bench_safety_physics

    return bench_safety_physics(options)


def _safety_kill(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.safety_kill.command import bench_safety_kill

    return bench_safety_kill(options)


def _replay(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.replay.command import bench_replay

    return bench_replay(options)


def _link(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.link.command import bench_link

    return bench_link(options)


def _people(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bench.people.command import bench_people

    return bench_people(options)
