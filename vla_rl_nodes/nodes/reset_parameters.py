"""The parameters of the reset node."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reset.script import ResetScript, load_script
from vla_rl_nodes.episodes.reset.settings import Mode, ResetSettings, mode_named
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.resources import resource

PLANNERS = ("auto", "room", "moveit")


@dataclass(frozen=True)
class ResetParameters:
    """What stays as it was given at the start.

    Attributes:
        contract: name or path.
        limits: of the safety filter, name or path; empty: the contract's.
        script: how the task is reset; None where there is nothing to put back.
        mode: of the resets until a service chooses another.
        settings: numbers.
        planner: one of ``PLANNERS``.
        moveit_group: MoveIt's planning group.
        states: file of stored states; empty: none.
        recorded: episode whose start ``recorded_start`` restores; empty: none.
        demonstrations: folder of bags for ``demo_replay``; empty: none.
        demo_share: how much of a demonstration is gone at most.
    """

    contract: str
    limits: str
    script: ResetScript | None
    mode: Mode
    settings: ResetSettings
    planner: str
    moveit_group: str
    states: str
    recorded: str
    demonstrations: str
    demo_share: float


def declare(node: Node) -> ResetParameters:
    """Declares them all.

    Raises:
        InputError: an unknown mode or planner, or a script that cannot be read.
    """
    contract = parameters.text(node, "contract", "franka_pick", "Contract name or path.")
    script = parameters.text(
        node, "script", "auto",
        "Reset script of config/resets or path; auto: the contract's where there is one; none.",
    )  # fmt: skip
    planner = parameters.text(
        node, "planner", "auto",
        "auto: MoveIt's where moveit_py is installed, then the reset's own; room; moveit.",
    )  # fmt: skip
    if planner not in PLANNERS:
        place = f"reset: parameter planner: {planner}"
        raise InputError(place, "is unknown", f"give one of {', '.join(PLANNERS)}")
    mode = parameters.text(node, "mode", "start", "Mode of the resets, until a service is called.")
    parameters.text(
        node, "return_to", "", "Stored state to return to; empty: drawn.", read_only=False
    )
    parameters.text(
        node, "store_as", "", "Name for the next stored state; empty: numbered.", read_only=False
    )
    parameters.integer(
        node, "seed", 0, 0, 2**31 - 1, "Seed where the episode has none.", read_only=False
    )
    return ResetParameters(
        contract=contract,
        limits=parameters.text(
            node, "limits", "", "Safety limits, name or path; empty: the contract's."
        ),
        script=_script(script, load_contract(contract).name),
        mode=mode_named(mode),
        settings=_settings(node),
        planner=planner,
        moveit_group=parameters.text(node, "moveit_group", "arm", "MoveIt's planning group."),
        states=parameters.text(
            node, "states", "", "JSON file of stored states; empty: none are kept."
        ),
        recorded=parameters.text(
            node, "recorded", "", "Bag or converted episode whose start recorded_start restores."
        ),
        demonstrations=parameters.text(
            node, "demonstrations", "", "Folder of bags that demo_replay goes along."
        ),
        demo_share=parameters.number(
            node, "demo_share", 0.8, 0.0, 1.0, "How much of a demonstration is gone at most."
        ),
    )


def _settings(node: Node) -> ResetSettings:
    own = ResetSettings()

    def number(name: str, low: float, high: float, description: str) -> float:
        return parameters.number(node, name, getattr(own, name), low, high, description)

    return ResetSettings(
        speed_share=number("speed_share", 0.02, 1.0, "Share of the joints' limits."),
        attempts=parameters.integer(
            node, "attempts", own.attempts, 1, 20, "Attempts before a person is asked."
        ),
        ask_limit_s=number("ask_limit_s", 0.0, 86400.0, "Wait for a person; 0: for ever. s."),
        joint_tolerance=number("joint_tolerance", 0.001, 0.5, "Of each joint at the start, rad."),
        plan_s=number("plan_s", 0.1, 60.0, "Longest search for a way, s."),
        lift_m=number("lift_m", 0.0, 0.5, "Lift of the tool out of the way, m."),
        perturb_rad=number("perturb_rad", 0.0, 0.5, "Half range added to each joint, rad."),
        perturb_m=number("perturb_m", 0.0, 0.3, "Half range added to the tool's place, m."),
        retreat_m=number("retreat_m", 0.0, 0.5, "Way of reset/retreat, m."),
        retreat_speed=number("retreat_speed", 0.01, 0.5, "Its speed, m/s."),
    )


def _script(given: str, contract: str) -> ResetScript | None:
    if given == "none":
        return None
    if given != "auto":
        return load_script(given)
    shipped = resource("config/resets") / f"{contract}.yaml"
    return load_script(contract) if shipped.is_file() else None
