"""The robot in MuJoCo behind the same topics as ros2_control: world, cameras, task and expert."""

import os

# MuJoCo chooses its OpenGL back end at import, and the simulator has no window to draw in.
os.environ.setdefault("MUJOCO_GL", "egl")
