"""vla-rl: the command line. Each command reads its arguments here and calls into a room."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vla_rl_nodes import __version__
from vla_rl_nodes.cli_bench import add_bench
from vla_rl_nodes.cli_parts import Command, add, contract_option, group, print_json, whole
from vla_rl_nodes.cli_policy import add_policy
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
    _add_bag(commands)
    _add_replay(commands)
    _add_learner(commands)
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


def _up(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bringup import run_until_interrupted

    return run_until_interrupted(options.contract, options.sim, options.bags, options.logs)


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


def _add_bag(commands: Any) -> None:
    commands = group(commands, "bag", "episode bags")
    parser = add(commands, "info", "what is in a bag, closed or not", _bag_info)
    parser.add_argument("bag", type=Path)


def _bag_info(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from vla_rl_nodes.bags.summary import summarise

    summary = summarise(options.bag)
    if options.json:
        print_json(asdict(summary))
        return 0
    state = "closed" if summary.closed else f"NOT closed: {summary.problem}"
    print(f"{summary.path}: episode {summary.episode_id}, {summary.outcome}, {state}")
    print(f"{summary.duration_s:.2f} s, {summary.messages} messages, {summary.size_bytes} bytes")
    for topic in summary.topics:
        rate = "" if topic.rate_hz is None else f"{topic.rate_hz:8.1f} Hz"
        print(f"  {topic.count:6d} {rate:>11}  {topic.name}  {topic.type_name}")
    for name, count in summary.dropped.items():
        print(f"  {count} messages of {name} were not recorded")
    return 0


def _add_replay(commands: Any) -> None:
    commands = group(commands, "replay", "transitions from bags")
    parser = add(commands, "convert", "bags to transitions", _convert)
    parser.add_argument("bags", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder of replay folders")
    contract_option(parser)
    text = "rebuild every observation of bags and compare it with what the policy saw"
    parser = add(commands, "check", text, _check)
    parser.add_argument("bags", type=Path, nargs="+")
    contract_option(parser)


def _convert(options: argparse.Namespace) -> int:
    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.replay.convert import convert_episode

    contract = load_contract(options.contract)
    folders, problems = [], []
    for bag in _tracked(options.bags, "converting"):
        try:
            folders.append(str(convert_episode(bag, contract, options.out)))
        except InputError as error:  # one bad bag keeps no other from being converted
            problems.append(str(error))
    if options.json:
        print_json({"episodes": folders, "problems": problems})
    elif folders:
        print("\n".join(folders))
    for problem in problems:
        print(f"vla-rl: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _check(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.replay.check import check_parity, check_repeat

    contract = load_contract(options.contract)
    rows, good = [], True
    for bag in _tracked(options.bags, "checking"):
        parity, repeat = check_parity(bag, contract), check_repeat(bag, contract)
        same = 0 < parity.matched == parity.built_live and not repeat.differing
        good = good and same
        rows.append({"bag": str(bag), "good": same, **asdict(parity), **asdict(repeat)})
    if options.json:
        print_json({"good": good, "bags": rows})
    else:
        for row in rows:
            verdict = "same" if row["good"] else "DIFFERS"
            print(
                f"{row['bag']}: {verdict}: {row['matched']} of {row['ticks']} observations are"
                f" what the policy saw, {len(row['differing'])} files differ when converted twice"
            )
    return 0 if good else 1


def _add_learner(commands: Any) -> None:
    commands = group(commands, "learner", "policies from replay")
    parser = add(commands, "train", "train a policy bundle from replay folders", _train)
    parser.add_argument("--recipe", required=True, help="recipe name or path")
    parser.add_argument("--replay", type=Path, required=True, help="folder of replay folders")
    parser.add_argument("--out", type=Path, required=True, help="the new bundle's folder")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--key", type=Path, help="signing key; made when it is not there")
    contract_option(parser)


def _train(options: argparse.Namespace) -> int:
    from vla_rl_nodes.learner.command import train_command

    return train_command(options)


def _tracked(bags: Sequence[Path], what: str) -> Iterable[Path]:
    """The bags, with a progress bar for a person who watches."""
    from rich.console import Console
    from rich.progress import track

    shown = sys.stderr.isatty()
    return track(bags, what, console=Console(stderr=True), transient=True, disable=not shown)


if __name__ == "__main__":
    sys.exit(main())
