"""colcon builds the package, and the installed executables start and find their files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.resources import resource

from .running import CONTRACT

pytestmark = pytest.mark.graph

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colcon workspace with this package built in it; the package's install prefix."""
    workspace = tmp_path_factory.mktemp("ws")
    source = workspace / "src" / "vla_rl_nodes"
    ignored = shutil.ignore_patterns(".*", "demo_output", "build", "install", "log", "__pycache__",
                                     "*.egg-info", "bags")  # fmt: skip
    shutil.copytree(CHECKOUT, source, ignore=ignored)
    colcon = Path(sys.executable).parent / "colcon"
    done = subprocess.run(
        [str(colcon), "--log-base", "log", "build", "--event-handlers", "console_cohesion+"],
        cwd=workspace, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace / "install" / "vla_rl_nodes"


def test_share_holds_what_the_package_needs(prefix: Path) -> None:
    share = prefix / "share" / "vla_rl_nodes"
    for path in (
        "package.xml", "config/robots/fr3.yaml", f"config/contracts/{CONTRACT}.yaml",
        f"config/policies/{CONTRACT}/policy.onnx", "urdf/go2.urdf", "launch/bringup.launch.py",
    ):  # fmt: skip
        assert (share / path).is_file(), path
    assert (prefix / "share/ament_index/resource_index/packages/vla_rl_nodes").is_file()
    assert resource("urdf/fr3.urdf").is_file()


def test_every_installed_executable_starts(prefix: Path) -> None:
    scripts = sorted(path.name for path in (prefix / "lib" / "vla_rl_nodes").iterdir())
    assert "vla-rl" in scripts and "safety_filter" in scripts
    site = next((prefix / "lib").glob("python3*/site-packages"))
    environment = {
        **os.environ, "PYTHONPATH": str(site), "AMENT_PREFIX_PATH": str(prefix),
        "PYTHONSAFEPATH": "1",
    }  # fmt: skip
    # Some act instead of the policy, the bridge needs certificates, and the keyboard a terminal.
    left_out = ("vla-rl", "policy", "sim_expert", "replay_bridge", "keyboard", "sim_person")
    nodes = [name for name in scripts if name not in left_out]
    with Driver("installed") as driver:
        running = [
            subprocess.Popen(
                [str(prefix / "lib" / "vla_rl_nodes" / name), "--ros-args", "-r",
                 "__ns:=/installed"],
                cwd=prefix, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            for name in (*nodes, "policy")
        ]  # fmt: skip
        try:
            wanted = {*nodes, "policy"}

            def seen() -> bool:
                names = driver.node.get_node_names_and_namespaces()
                return wanted <= {n for n, space in names if space == "/installed"}

            driver.wait(seen, 40.0, f"the nodes {sorted(wanted)}")
            assert all(process.poll() is None for process in running)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                try:
                    process.communicate(timeout=20)
                finally:
                    process.kill()  # else it would disturb the tests that follow
    done = subprocess.run(
        [str(prefix / "lib" / "vla_rl_nodes" / "vla-rl"), "--version"],
        cwd=prefix, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "0.1.0"
