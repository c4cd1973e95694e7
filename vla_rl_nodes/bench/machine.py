"""What a measurement ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("numpy", "onnxruntime", "torch", "ros-jazzy-rclpy", "ros-kilted-rclpy", "tensorrt")


def machine() -> dict[str, str | int | float]:
    """Processor, cores, load and versions."""
    found: dict[str, str | int | float] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    lines = (line.split(":", 1) for line in text.splitlines() if line.startswith("model name"))
    return next((value.strip() for _, value in lines), platform.processor())
