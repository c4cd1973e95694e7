"""vla-rl: the command line. Each command reads its arguments here and calls into a room."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_rl_nodes import __version__
from vla_rl_nodes.cli_bag import add_bag
from vla_rl_nodes.cli_bench import add_bench
from vla_rl_nodes.cli_learner import add_learner
from vla_rl_nodes.cli_parts import Command, add, contract_option, print_json, whole
from vla_rl_nodes.cli_policy import add_policy
from vla_rl_nodes.cli_replay import add_replay
from vla_rl_nodes.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; exit status 0 only on success, 2 with one line for bad input."""
    options = _parser().parse_args(arguments)
    # Being told to end stops the nodes that were started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    command: Command = options.command
    try:
        return command(options)
    except InputError as error:
        print(f"vla-rl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vla-rl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vla-rl", description="Real-robot reinforcement learning over ROS 2."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_up(commands)
    _add_doctor(commands)
    add_policy(commands)
    add_bag(commands)
    add_replay(commands)
    add_learner(commands)
    add_bench(commands)
    return parser


def _add_demo(commands: Any) -> None:
    text = "run episodes of the simulated robot through the real graph, and report"
    parser = add(commands, "demo", text, _demo)
    parser.add_argument("--robot", default="fr3", help="robot that has a contract and a policy")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the first episode")
    parser.add_argument("--episodes", type=whole(1), default=20)
    parser.add_argument(
        "--blackout", type=whole(0), default=0,
        help="further episodes with blacked-out cameras, as a control that the policy looks",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="output folder")
    parser.add_argument(
        "--actor", choices=("policy", "sim_expert"), default="policy",
        help="the policy bundle, or the scripted expert that makes demonstrations",
    )  # fmt: skip
    parser.add_argument("--bundle", type=Path, help="policy bundle instead of the shipped one")
    parser.add_argument("--chunking", help="strategy of config/chunking, or a path")
    parser.add_argument("--trusted-keys", type=Path, help="folder of *.pub keys for that bundle")


def _demo(options: argparse.Namespace) -> int:
    from vla_rl_nodes.demo.command import demo

    return demo(options)


def _add_up(commands: Any) -> None:
    parser = add(commands, "up", "start a robot's nodes and keep them running", _up)
    contract_option(parser)
    parser.add_argument("--sim", action="store_true", help="with the simulated robot")
    parser.add_argument("--bags", type=Path, default=Path("bags/recorded"))
    parser.add_argument("--logs", type=Path, default=Path("log/vla_rl"))
    parser.add_argument("--link", type=Path, help="settings of the link to the learner")
    parser.add_argument(
        "--intervention", default="", help="devices by which a person takes over, with commas"
    )
    parser.add_argument("--operator", action="store_true", help="serve the operator's page")
    parser.add_argument("--retries", default="", help="what to do when the policy gets stuck")
    parser.add_argument("--view", action="store_true", help="publish paths for rviz")


def _up(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bringup import graph, run_until_interrupted

    nodes = graph(
        options.contract,
        sim=options.sim,
        link="" if options.link is None else str(options.link.absolute()),
        intervention=options.intervention,
        operator=options.operator,
        retries=options.retries,
        view=options.view,
        parameters={"recorder": {"folder": str(options.bags.absolute())}},
    )
    return run_until_interrupted(nodes, options.contract, options.logs)


def _add_doctor(commands: Any) -> None:
    text = "say what of ROS, GPU, controllers and cameras is there, and what is missing"
    parser = add(commands, "doctor", text, _doctor)
    contract_option(parser)
    parser.add_argument("--namespace", help="robot's namespace; default: the robot's name")


def _doctor(options: argparse.Namespace) -> int:
    from vla_rl_nodes.doctor import examine, render

    findings = examine(options.contract, options.namespace)
    if options.json:
        print_json({"findings": [finding.as_dict() for finding in findings]})
    else:
        render(findings)
    return 1 if any(finding.status == "missing" for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
