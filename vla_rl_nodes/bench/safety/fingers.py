"""All that a gripper's fingers sweep, as one body."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.chain import Chain
from vla_rl_nodes.bench.safety.shapes import Shape, placed

Array = NDArray[np.float64]


def finger_links(chain: Chain) -> list[str]:
    """The links that the gripper moves."""
    return [link.name for link in chain.links if link.joint in chain.fingers]


def swept(chain: Chain, shapes: list[Shape], width_max: float) -> Shape | None:
    """The box of the fingers' boxes between closed and open by ``width_max`` m.

    It lies in the frame of the link that carries the fingers, along the fingers' own axes: a
    filter that keeps one box of them apart cannot know which of its corners has a finger in it.
    None without a gripper.
    """
    moved = finger_links(chain)
    if not moved:
        return None
    first = next(link for link in chain.links if link.name == moved[0])
    assert first.parent is not None
    rest = np.zeros((1, len(chain.joints)))
    corners = []
    for width in (0.0, width_max):
        frames = chain.place(rest, width).frames
        hand = frames[first.parent]
        axes = hand.rotation[0] @ first.rotation
        for shape in (s for s in shapes if s.link in moved):
            solid = placed(shape, frames[shape.link])
            for signs in product((-1.0, 1.0), repeat=3):
                corner = solid.centre[0] + solid.axes[0] @ (shape.half * np.array(signs))
                corners.append(axes.T @ (corner - hand.position[0]))
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    centre = first.rotation @ ((low + high) / 2.0)
    return Shape("fingers", first.parent, "box", first.rotation, centre, 0.0, (high - low) / 2.0)
