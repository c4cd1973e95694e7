"""The package, as ament_python and pip build it. Exact versions stand in requirements.lock."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "vla_rl_nodes"
HERE = Path(__file__).resolve().parent

ROS_MESSAGES = [
    "std-msgs", "std-srvs", "sensor-msgs", "geometry-msgs", "trajectory-msgs", "diagnostic-msgs",
    "rcl-interfaces", "visualization-msgs", "nav-msgs",
]  # fmt: skip
NODES = [
    "camera_ingest", "proprio_ingest", "policy", "safety_filter", "episode", "recorder",
    "sim_robot", "sim_cameras", "sim_expert", "vla_http", "replay_bridge", "intervention",
    "reset", "reward", "retry_monitor", "operator_page", "motion_paths", "sim_person", "keyboard",
]  # fmt: skip


def shared_files() -> list[tuple[str, list[str]]]:
    """Everything that travels in share/vla_rl_nodes, folder by folder."""
    folders: dict[str, list[str]] = {}
    for top in ("config", "launch", "urdf"):
        for path in sorted((HERE / top).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(HERE)
                folders.setdefault(f"share/{PACKAGE}/{relative.parent}", []).append(str(relative))
    return list(folders.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Real-robot reinforcement learning over ROS 2",
    license="Apache-2.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "operator/page/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared_files(),
    ],
    python_requires=">=3.11",
    install_requires=[
        "aiohttp", "coal", "cryptography", "daqp", "isal", "lz4", "mcap", "msgpack", "numpy",
        "onnxruntime", "pillow", "pin", "pydantic", "PyYAML", "rich", "rosbags", "ruckig",
        "websockets", "zstandard",
    ],
    extras_require={
        "ros": [
            "ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp",
            *(f"ros-jazzy-{name}" for name in ROS_MESSAGES),
        ],
        "sim": ["mujoco", "matplotlib"],
        "learner": ["torch", "torchrl", "onnx", "h5py", "pyarrow", "google-crc32c"],
        # On an NVIDIA GPU; take plain onnxruntime out first, the two share one folder.
        "gpu": ["onnxruntime-gpu", "tensorrt", "cuda-bindings", "onnx"],
        # The operator's page in a real browser; Chromium itself comes from the system.
        "browser": ["playwright"],
        "dev": [
            "colcon-common-extensions", "hypothesis", "mcap-ros2-support", "mypy", "pytest",
            "pytest-rerunfailures", "pytest-xdist", "ruff", "scipy", "setuptools<80",
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            "vla-rl = vla_rl_nodes.cli:main",
            *(f"{node} = vla_rl_nodes.nodes.{node}:main" for node in NODES),
        ]
    },
    zip_safe=False,
)  # fmt: skip
