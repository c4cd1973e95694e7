"""A robot without ROS: a real board behind the page's server, and a note of all it was told."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import numpy as np
from PIL import Image

from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.board import Board
from vla_rl_nodes.operator.camera_pictures import Raw
from vla_rl_nodes.operator.jog import Sticks, sticks_for
from vla_rl_nodes.operator.said import Said

AXES = ("tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width")
PERIOD_NS = 50_000_000


class FakeRobot:
    """What the server needs of a robot."""

    def __init__(self) -> None:
        self.board = Board(AXES, 20.0)
        self.called: list[str] = []
        self.operators: list[str] = []
        self.stops: list[tuple[float, bool]] = []
        self.sticks: list[tuple[float, Sticks]] = []
        self.lines: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.hold: asyncio.Event | None = None  # a service answers only after it
        self.pictures: dict[int, Raw] = {}

    def about(self) -> dict[str, Any]:
        axes = [{"name": name, "unit": "m", "minimum": -0.02, "maximum": 0.02} for name in AXES]
        return {
            "robot": "fr3", "namespace": "fr3", "contract": "franka_pick", "task": "pick it up",
            "policy_hz": 20, "axes": axes, "sticks": sticks_for(AXES), "gripper": True,
            "cameras": ["image_scene", "image_wrist"],
        }  # fmt: skip

    def snapshot(self, unheard_e_stop: bool) -> dict[str, Any]:
        return self.board.snapshot(time.monotonic(), self.clock_ns(), unheard_e_stop)

    def trace(self, number: int) -> tuple[list[list[Any]], int]:
        return self.board.trace(number, self.clock_ns())

    def plan(self) -> dict[str, Any] | None:
        return self.board.newest_plan

    def picture(self, camera: int, known: int) -> Raw | None:
        raw = self.pictures.get(camera)
        return None if raw is None or raw.number == known else raw

    def clock_ns(self) -> int:
        return time.time_ns()

    async def call(self, name: str, limit_s: float | None) -> Answer:
        self.called.append(name)
        if self.hold is not None:
            await self.hold.wait()
        return self.answers.get(name, Answer(True, f"{name} done"))

    async def set_operator(self, name: str) -> Answer:
        self.operators.append(name)
        return self.answers.get("operator", Answer(True, ""))

    def e_stop(self, pressed: bool) -> None:
        self.stops.append((time.monotonic(), pressed))

    def joy(self, sticks: Sticks) -> None:
        self.sticks.append((time.monotonic(), sticks))

    def log(self, line: str) -> None:
        self.lines.append(line)

    def complain(self, line: str) -> None:
        self.lines.append(line)

    def say(self, topic: str, message: str, **values: str) -> None:
        """A node speaks."""
        said = Said(message, values, 0, time.time_ns(), "v1", time.monotonic())
        self.board.hear(topic, said)

    def show(self, camera: int, number: int, width: int = 128, height: int = 96) -> None:
        """A camera takes a picture."""
        pixels = np.full((height, width, 3), 40 * (number % 6), np.uint8)
        pixels[:, : width // 2, camera] = 200
        self.pictures[camera] = Raw(
            number, time.time_ns(), pixels.tobytes(), "rgb8", width, height, 3 * width
        )


def png(width: int, height: int) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (10, 200, 30)).save(out, "PNG")
    return out.getvalue()
