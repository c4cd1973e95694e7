"""vla-rl policy: checking bundles, running bags through them, and building engines for a GPU."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_rl_nodes.cli_parts import add, contract_option, group, keys_option, print_json, whole


def add_policy(commands: Any) -> None:
    """The group ``policy``."""
    policy = group(commands, "policy", "policy bundles")
    text = "check a bundle's signature, hashes and contract, and try its networks"
    parser = add(policy, "verify", text, _verify)
    parser.add_argument("bundle", type=Path)
    contract_option(parser)
    keys_option(parser)

    text = "build a bundle's TensorRT engine for this machine's GPU, ahead of time"
    parser = add(policy, "build", text, _build)
    parser.add_argument("bundle", type=Path)
    contract_option(parser)
    keys_option(parser)
    parser.add_argument(
        "--engine", choices=("tensorrt", "onnxruntime-tensorrt"), default="tensorrt"
    )
    parser.add_argument(
        "--precision", choices=("auto", "fp16", "fp32"), default="auto",
        help="auto: fp16 where it is near enough to the CPU's answers, else fp32",
    )  # fmt: skip
    parser.add_argument(
        "--candidates", type=whole(1), default=16, metavar="N", help="most chunks drawn at once"
    )

    text = "run a bag's observations through a bundle and the safety filter, and compare"
    parser = add(policy, "run-bag", text, _run_bag)
    parser.description = (
        "Rebuilds what the recorded policy saw, lets a bundle act on it with the recorded delays"
        " and noise, sends its actions through the safety filter, and tells how they differ from"
        " the recorded ones and which limits would have tripped. Open loop: the filter follows its"
        " own commands from where the arm began, and the arm follows the filter without error;"
        " what was seen is what was recorded, whatever is commanded. No clock is read: the same"
        " input gives the same bytes."
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG")
    parser.add_argument("--against", type=Path, metavar="BUNDLE", help="second bundle, to compare")
    parser.add_argument(
        "--chunking", default="prefix", metavar="NAME",
        help="strategy of config/chunking, or a path; default: prefix",
    )  # fmt: skip
    parser.add_argument("--safety", default="", help="limits; default: the contract's name")
    contract_option(parser)
    keys_option(parser)


def _run_bag(options: argparse.Namespace) -> int:
    from vla_rl_nodes.replay.run_bag_text import run_bag_command

    return run_bag_command(options)


def _verify(options: argparse.Namespace) -> int:
    from vla_rl_nodes.chunking.models import open_models
    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.policy.bundle import load_bundle
    from vla_rl_nodes.policy.trust import trusted_keys

    bundle = load_bundle(
        options.bundle, load_contract(options.contract), trusted_keys(options.trusted_keys)
    )
    open_models(bundle, "onnxruntime-cpu")
    manifest = bundle.manifest.model_dump(mode="json")
    if options.json:
        print_json({"version": bundle.version, "manifest": manifest})
    else:
        graphs = ", ".join(name for name in sorted(bundle.files) if name.endswith(".onnx"))
        print(
            f"{options.bundle}: version {bundle.version}, fits contract {options.contract},"
            f" signed by {bundle.signed_by}, holds {graphs}"
        )
    return 0


def _build(options: argparse.Namespace) -> int:
    from vla_rl_nodes.chunking.models import WEAK
    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.policy.bundle import MODEL, load_bundle
    from vla_rl_nodes.policy.tensorrt_build import build
    from vla_rl_nodes.policy.tensorrt_graph import PRECISIONS
    from vla_rl_nodes.policy.trust import trusted_keys

    bundle = load_bundle(
        options.bundle, load_contract(options.contract), trusted_keys(options.trusted_keys)
    )
    precisions = PRECISIONS if options.precision == "auto" else (options.precision,)
    results = {}
    for file in (MODEL, WEAK):
        if file not in bundle.files:
            continue
        made = build(
            bundle,
            options.engine,
            candidates=options.candidates,
            precisions=precisions,
            file=file,
            say=lambda line: None if options.json else print(line),
        )
        results[file] = {
            "folder": str(made.folder),
            "precision": made.precision,
            "difference": made.difference,
            "report": list(made.report),
        }
        if not options.json:
            for line in made.report:
                print(line)
            print(f"{file}: {made.precision}, {made.difference:.1e} from the CPU: {made.folder}")
    if options.json:
        print_json(results)
    return 0
