"""Distances between primitives at many places at once, for the judge.

Round shapes (spheres, capsules) are segments with a radius: two of them, and one against a box,
have closed forms. Everything else is alternating projection with Nesterov's momentum, which
converges to the nearest points of two convex bodies (Cheney and Goldstein 1959), and a bound from
the separating plane says how near it has come.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.shapes import Solid

Array = NDArray[np.float64]

EXACT = 1e-5  # m, what alternating projection may leave
ROUNDS = 400  # at most


def distance(first: Solid, second: Solid, cut: float) -> Array:
    """Distance [m] between two shapes, m; where it is more than ``cut``, any number above that.

    Overlapping round shapes give their depth as a negative number until their segments meet,
    other overlaps give 0.
    """
    apart = first.centre - second.centre
    gap: Array = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    gap = gap - (first.shape.reach + second.shape.reach)
    near = np.flatnonzero(gap <= cut)
    if len(near) == 0:
        return gap
    one, other = first.at(near), second.at(near)
    if {one.shape.kind, other.shape.kind} != {"round"}:
        (start, way, radius), (start_2, way_2, radius_2) = _hull(one), _hull(other)
        gap[near] = segment_segment(start, way, start_2, way_2) - (radius + radius_2)
        near = near[gap[near] <= cut]
        if len(near) == 0:
            return gap
        one, other = first.at(near), second.at(near)
    gap[near] = _exact(one, other, cut)
    return gap


def plane_distance(solid: Solid, normal: Array, offset: float) -> Array:
    """Distance [m] of a shape's lowest point above the plane ``normal . p = offset``, m."""
    shape = solid.shape
    along = np.abs(np.einsum("k,mki->mi", normal, solid.axes))  # [m, 3]
    height: Array = solid.centre @ normal - offset
    if shape.kind == "box":
        return np.asarray(height - along @ shape.half)
    lowest = height - along[:, 2] * shape.half[2]
    if shape.kind == "round":
        return np.asarray(lowest - shape.radius)
    across = np.sqrt(np.maximum(1.0 - along[:, 2] ** 2, 0.0))
    return np.asarray(lowest - shape.radius * across)


def _hull(solid: Solid) -> tuple[Array, Array, float]:
    """Start, way and radius of a capsule that holds the shape."""
    shape = solid.shape
    if shape.kind != "box":
        return (*_segment(solid), shape.radius)
    main = int(np.argmax(shape.half))
    half = solid.axes[:, :, main] * shape.half[main]
    return solid.centre - half, 2.0 * half, float(np.linalg.norm(np.delete(shape.half, main)))


def _exact(first: Solid, second: Solid, cut: float) -> Array:
    kinds = {first.shape.kind, second.shape.kind}
    if kinds == {"round"}:
        between = segment_segment(*_segment(first), *_segment(second))
        return between - (first.shape.radius + second.shape.radius)
    if second.shape.kind == "round":
        first, second = second, first
    if first.shape.kind == "round" and second.shape.kind == "box":
        start, way = _segment(first)
        return segment_box(*_into(second, start, way), second.shape.half) - first.shape.radius
    if first.shape.kind == "round":
        start, way = _segment(first)
        at = segment_cylinder(
            *_into(second, start, way), float(second.shape.half[2]), second.shape.radius
        )
        return at - first.shape.radius
    return body_body(first, second, cut)


def _segment(solid: Solid) -> tuple[Array, Array]:
    """Start [m, 3] and way to the end [m, 3] of a round shape's segment."""
    half = solid.axes[:, :, 2] * solid.shape.half[2]
    return solid.centre - half, 2.0 * half


def _into(body: Solid, start: Array, way: Array) -> tuple[Array, Array]:
    """A segment in the axes of a body."""
    local = np.einsum("mki,mk->mi", body.axes, start - body.centre)
    return local, np.einsum("mki,mk->mi", body.axes, np.broadcast_to(way, local.shape))


def segment_segment(p: Array, d: Array, r: Array, e: Array) -> Array:
    """Distance [m] between the segments p..p+d and r..r+e (Ericson 2005, section 5.1.9)."""
    between = p - r
    a, f = np.einsum("ij,ij->i", d, d), np.einsum("ij,ij->i", e, e)
    b = np.einsum("ij,ij->i", *np.broadcast_arrays(d, e))
    c = np.einsum("ij,ij->i", *np.broadcast_arrays(d, between))
    g = np.einsum("ij,ij->i", *np.broadcast_arrays(e, between))
    tiny = 1e-18
    inner = a * f - b * b
    s = np.where(
        inner > 1e-12 * a * f, np.clip((b * g - c * f) / np.maximum(inner, tiny), 0.0, 1.0), 0.0
    )
    t = np.where(f > tiny, (b * s + g) / np.maximum(f, tiny), 0.0)
    held = np.clip(t, 0.0, 1.0)
    # Where t leaves its segment, s is the nearest point to the end that t is held at.
    again = np.where(a > tiny, np.clip((b * held - c) / np.maximum(a, tiny), 0.0, 1.0), 0.0)
    s = np.where((t == held) & (f > tiny), s, again)
    apart = between + s[:, np.newaxis] * d - held[:, np.newaxis] * e
    return np.asarray(np.linalg.norm(apart, axis=1))


def segment_box(p: Array, d: Array, half: Array) -> Array:
    """Distance [m] between the segments p..p+d and the box +-half, in the box's axes.

    The squared distance is convex and piecewise quadratic along the segment: its derivative is
    linear between the places where a coordinate enters or leaves the box, so its root is exact.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = np.concatenate([(half - p) / d, (-half - p) / d], axis=1)
    crossings = np.clip(np.nan_to_num(crossings, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    ends = np.zeros((len(p), 1))
    t = np.sort(np.concatenate([ends, crossings, ends + 1.0], axis=1), axis=1)  # [m, 8]
    points = p[:, np.newaxis] + t[:, :, np.newaxis] * d[:, np.newaxis]
    slope = np.einsum("mik,mk->mi", points - np.clip(points, -half, half), d)
    last = np.maximum((slope <= 0.0).sum(axis=1) - 1, 0)
    rows = np.arange(len(p))
    after = np.minimum(last + 1, t.shape[1] - 1)
    low, high = slope[rows, last], slope[rows, after]
    rise = high - low
    share = np.where(rise > 0.0, np.clip(-low / np.where(rise > 0.0, rise, 1.0), 0.0, 1.0), 0.0)
    best = t[rows, last] + share * (t[rows, after] - t[rows, last])
    point = p + best[:, np.newaxis] * d
    return np.asarray(np.linalg.norm(point - np.clip(point, -half, half), axis=1))


def segment_cylinder(p: Array, d: Array, half: float, radius: float) -> Array:
    """Distance [m] between the segments p..p+d and a cylinder along z, in the cylinder's axes.

    Bisection on the derivative of the squared distance, which rises along the segment.
    """
    low, high = np.zeros(len(p)), np.ones(len(p))
    for _ in range(40):
        middle = 0.5 * (low + high)
        point = p + middle[:, np.newaxis] * d
        rising = np.einsum("ij,ij->i", d, point - _onto_cylinder(point, half, radius)) > 0.0
        high = np.where(rising, middle, high)
        low = np.where(rising, low, middle)
    point = p + low[:, np.newaxis] * d
    return np.asarray(np.linalg.norm(point - _onto_cylinder(point, half, radius), axis=1))


def body_body(first: Solid, second: Solid, cut: float) -> Array:
    """Distance [m] between two convex bodies of any kind; 0 where they overlap, and any number
    above ``cut`` where it is more than that."""
    count = max(len(first.centre), len(second.centre))
    found = np.zeros(count)
    open_rows = np.arange(count)
    x = np.broadcast_to(first.centre, (count, 3)).copy()
    y, momentum = x, 1.0
    for round_ in range(ROUNDS):
        one, other = first.at(open_rows), second.at(open_rows)
        nearest = _onto(other, y)
        stepped = _onto(one, nearest)
        faster = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
        y = stepped + ((momentum - 1.0) / faster) * (stepped - x)
        x, momentum = stepped, faster
        if round_ % 8 == 7 or round_ == ROUNDS - 1:
            apart = x - _onto(other, x)
            gap = np.linalg.norm(apart, axis=1)
            found[open_rows] = gap
            normal = apart / np.maximum(gap, 1e-12)[:, np.newaxis]
            certain = -_furthest(one, -normal) - _furthest(other, normal)
            left = (gap - certain > EXACT) & (gap > EXACT) & (certain <= cut)
            if not left.any():
                break
            open_rows, x, y = open_rows[left], x[left], y[left]
            if round_ % 40 == 39:
                y, momentum = x, 1.0  # a fresh start damps what the momentum overshot
    return found


def _furthest(solid: Solid, way: Array) -> Array:
    """Greatest ``way . p`` [m] over the points p of a shape."""
    shape = solid.shape
    local = np.einsum("mki,mk->mi", solid.axes, way)
    centre = np.einsum("mk,mk->m", *np.broadcast_arrays(solid.centre, way))
    if shape.kind == "box":
        return np.asarray(centre + np.abs(local) @ shape.half)
    end = centre + np.abs(local[:, 2]) * shape.half[2]
    if shape.kind == "round":
        return np.asarray(end + shape.radius * np.linalg.norm(local, axis=1))
    return np.asarray(end + shape.radius * np.hypot(local[:, 0], local[:, 1]))


def _onto(solid: Solid, points: Array) -> Array:
    """The nearest point [m, 3] of a shape to each of ``points`` [m, 3]."""
    shape = solid.shape
    local = np.einsum("mki,mk->mi", solid.axes, points - solid.centre)
    if shape.kind == "box":
        local = np.clip(local, -shape.half, shape.half)
    elif shape.kind == "cylinder":
        local = _onto_cylinder(local, float(shape.half[2]), shape.radius)
    else:
        core = np.zeros_like(local)
        core[:, 2] = np.clip(local[:, 2], -shape.half[2], shape.half[2])
        out = local - core
        length = np.linalg.norm(out, axis=1)
        share = np.minimum(shape.radius / np.maximum(length, 1e-12), 1.0)
        local = core + out * share[:, np.newaxis]
    return np.asarray(solid.centre + np.einsum("mik,mk->mi", solid.axes, local))


def _onto_cylinder(points: Array, half: float, radius: float) -> Array:
    across = np.hypot(points[:, 0], points[:, 1])
    share = np.minimum(radius / np.maximum(across, 1e-12), 1.0)
    held = points.copy()
    held[:, :2] *= share[:, np.newaxis]
    held[:, 2] = np.clip(points[:, 2], -half, half)
    return held
