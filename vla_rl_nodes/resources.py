"""Finds the files that travel with the package: configurations, robot descriptions, policies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vla_rl_nodes.errors import InputError

PACKAGE = "vla_rl_nodes"


def resource(relative: str) -> Path:
    """Absolute path of a packaged file or folder, such as ``config/robots/fr3.yaml``.

    Looks in a source checkout first, then in the ``share`` folder that ``colcon`` and ``pip``
    install to, so that the same code runs from all three.

    Raises:
        InputError: no installation of this package holds that path.
    """
    candidates = [root / relative for root in _roots()]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise InputError(relative, "is not in this installation", "reinstall the package")


def _roots() -> list[Path]:
    checkout = Path(__file__).resolve().parent.parent
    roots = [checkout] if (checkout / "package.xml").exists() else []
    # colcon: one prefix per package, or a merged one; the environment lists them.
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        roots.append(Path(prefix) / "share" / PACKAGE)
    # <prefix>/lib/pythonX.Y/site-packages/vla_rl_nodes -> <prefix>/share/vla_rl_nodes
    for parent in Path(__file__).resolve().parents:
        roots.append(parent / "share" / PACKAGE)
    roots.append(Path(sys.prefix) / "share" / PACKAGE)
    return roots
