"""A virtual environment of a test's own, for programs that this package must not depend on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def build(folder: Path, *installs: list[str]) -> Path:
    """Makes the environment, runs pip once for each list of arguments, returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for arguments in installs:
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *arguments], check=True)
    return folder / "bin" / "python"


def run(python: Path, script: str, *arguments: object, cache: Path) -> str:
    """Runs a script that lies beside this file, without network; returns what it printed."""
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")},
        "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3", "NO_GCE_CHECK": "true",
    }  # fmt: skip
    command = [python, Path(__file__).with_name(script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
