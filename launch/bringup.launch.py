"""Starts one robot's graph: ros2 launch vla_rl_nodes bringup.launch.py sim:=true."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from vla_rl_nodes.bringup import ACTORS, graph
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.policy.selection import ENGINES

# Without one of these nobody bounds or ends what the policy does: the whole graph ends with it.
VITAL = ("safety_filter", "episode")


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    contract = argument("contract")
    parameters: dict[str, dict[str, str]] = {"recorder": {"folder": argument("bags")}}
    actor = next(name for name in ACTORS if name == argument("actor"))
    if actor == "policy":
        parameters["policy"] = {
            "bundle": argument("bundle"),
            "trusted_keys": argument("trusted_keys"),
            "chunking": argument("chunking") or "prefix",
            "engine": argument("engine"),
        }
    elif actor == "vla_http":
        parameters["vla_http"] = {
            "remote": argument("remote"),
            "chunking": argument("chunking"),
        }
    parameters["safety_filter"] = {
        "safety": argument("safety"),
        "controller": argument("controller"),
        "arming": argument("arming"),
    }
    if argument("reset_mode"):
        parameters["reset"] = {"mode": argument("reset_mode")}
    if argument("reward"):
        parameters["reward"] = {"rewards": argument("reward")}
    namespace = argument("namespace") or load_contract(contract).robot
    return [
        Node(
            package="vla_rl_nodes",
            executable=node.executable,
            namespace=namespace,
            parameters=[dict(node.parameters)],
            output="screen",
            on_exit=Shutdown() if node.executable in VITAL else None,
        )
        for node in graph(
            contract,
            sim=argument("sim") == "true",
            actor=actor,
            link=argument("link"),
            intervention=argument("intervention"),
            operator=argument("operator") == "true",
            retries=argument("retries"),
            view=argument("view") == "true",
            parameters=parameters,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the nodes that they ask for."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "contract", default_value="franka_pick", description="Contract name or path."
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Empty: the robot's name."
            ),
            DeclareLaunchArgument(
                "sim",
                default_value="false",
                choices=["true", "false"],
                description="Whether the simulated robot and its cameras run too.",
            ),
            DeclareLaunchArgument(
                "actor",
                default_value="policy",
                choices=list(ACTORS),
                description="What acts: a policy bundle, a policy served elsewhere over HTTP or a"
                " websocket, or the simulation's scripted expert.",
            ),
            DeclareLaunchArgument(
                "chunking",
                default_value="",
                description="Strategy of config/chunking or a path; empty: prefix.",
            ),
            DeclareLaunchArgument(
                "engine",
                default_value="auto",
                choices=["auto", *ENGINES],
                description="What computes a bundle's networks; auto: the fastest that is there.",
            ),
            DeclareLaunchArgument(
                "remote",
                default_value="franka_pick_served",
                description="Server and mapping of a policy served elsewhere, of config/remote.",
            ),
            DeclareLaunchArgument(
                "bundle", default_value="", description="Policy bundle; empty: the shipped one."
            ),
            DeclareLaunchArgument(
                "trusted_keys",
                default_value="",
                description="Folder of public keys; empty: the shipped one.",
            ),
            DeclareLaunchArgument(
                "safety", default_value="", description="Safety limits; empty: the contract's."
            ),
            DeclareLaunchArgument(
                "controller",
                default_value="joint_trajectory",
                choices=["joint_trajectory", "forward_position", "forward_velocity", "twist"],
                description="Controller that the safety filter commands; with joint_trajectory"
                " the arm stops within its limits even when the filter dies.",
            ),
            DeclareLaunchArgument(
                "arming",
                default_value="episode",
                choices=["episode", "service"],
                description="What arms the safety filter: starting an episode, or safety/arm.",
            ),
            DeclareLaunchArgument(
                "bags", default_value="bags/recorded", description="Folder for the bags."
            ),
            DeclareLaunchArgument(
                "link",
                default_value="",
                description="Settings of the link to the learner (config/link/robot.yaml is an"
                " example); empty: episodes stay here.",
            ),
            DeclareLaunchArgument(
                "intervention",
                default_value="",
                description="Devices by which a person takes over, of config/intervention, such"
                " as spacemouse or gamepad,page; empty: none.",
            ),
            DeclareLaunchArgument(
                "operator",
                default_value="false",
                choices=["true", "false"],
                description="Whether the operator's page is served.",
            ),
            DeclareLaunchArgument(
                "retries",
                default_value="",
                description="What to do when the policy gets stuck, of config/retries; empty:"
                " nothing.",
            ),
            DeclareLaunchArgument(
                "view",
                default_value="false",
                choices=["true", "false"],
                description="Whether planned and executed paths are published for rviz.",
            ),
            DeclareLaunchArgument(
                "reset_mode",
                default_value="",
                description="How episodes begin, as the reset node's parameter mode; empty: by"
                " the simulator, or by the arm itself.",
            ),
            DeclareLaunchArgument(
                "reward",
                default_value="",
                description="What gives reward and success, of config/rewards; empty: the"
                " contract's.",
            ),
            OpaqueFunction(function=_nodes),
        ]
    )
