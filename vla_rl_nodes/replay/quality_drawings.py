"""Drawings of the data quality report, as SVG inside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vla_rl_nodes.demo.figure import AMBER, BLUE, GREEN, GREY, INK, PALE, VERMILION
from vla_rl_nodes.demo.page import Html, number, percent, tag
from vla_rl_nodes.replay.quality import Timeline

_WIDTH = 500
_ROW = 20  # height of a row, and what a bar leaves free of it
_FREE = 6
_LEFT = 165  # for the rows' names
_RIGHT = 85  # for their figures


def _text(x: float, y: float, what: str, colour: str = INK, anchor: str = "start") -> Html:
    return tag(
        "text", what, x=f"{x:.1f}", y=f"{y:.1f}", fill=colour, font_size="12", text_anchor=anchor
    )


def _bar(x: float, y: float, width: float, colour: str) -> Html:
    return tag(
        "rect", x=f"{x:.2f}", y=f"{y + _FREE / 2:.1f}", width=f"{max(width, 1.5):.2f}",
        height=f"{_ROW - _FREE}", fill=colour,
    )  # fmt: skip


def _svg(height: float, label: str, *parts: str) -> Html:
    return tag(
        "svg", tag("title", label), *parts, viewBox=f"0 0 {_WIDTH} {height:.0f}", class_="drawing",
        role="img",
    )  # fmt: skip


def bars(counts: Mapping[str, int], whole: int | None, unit: str) -> Html:
    """One bar for each name, the longest first.

    Args:
        counts: by name.
        whole: what the full width stands for; None for the greatest count.
        unit: what is counted.
    """
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    full = whole or max(counts.values(), default=1) or 1
    room = _WIDTH - _LEFT - _RIGHT
    parts = []
    for row, (name, count) in enumerate(ordered):
        y = row * _ROW
        parts += [
            _text(_LEFT - 8, y + 15, _short(name or "unnamed"), anchor="end"),
            _bar(_LEFT, y, room, PALE),
            _bar(_LEFT, y, room * min(count / full, 1.0), BLUE),
            _text(_LEFT + room + 8, y + 15,
                  number(count) + (f", {percent(count / whole)}" if whole else "")),
        ]  # fmt: skip
    return _svg(_ROW * len(ordered), f"{unit} by name", *parts)


def timeline(times: Timeline) -> Html:
    """When streams were silent (red), at which ticks the policy saw nothing (red), and when a
    person or the filter acted."""
    span = times.end_ns - times.start_ns
    if span <= 0:
        return Html("")
    room = _WIDTH - _LEFT - 10
    tick = max(span // 400, 1)

    def place(at_ns: int) -> float:
        return _LEFT + room * min(max((at_ns - times.start_ns) / span, 0.0), 1.0)

    def row(y: float, name: str, spans: Sequence[tuple[int, int]], colour: str) -> list[Html]:
        inside = [(a, b) for a, b in spans if b >= times.start_ns and a <= times.end_ns]
        return [
            _text(_LEFT - 8, y + 15, _short(name), anchor="end"),
            _bar(_LEFT, y, room, GREEN if colour == VERMILION else PALE),
            *(_bar(place(a), y, place(b) - place(a), colour) for a, b in inside),
        ]

    def marks(stamps: Sequence[int]) -> list[tuple[int, int]]:
        return [(at, at + tick) for at in stamps]

    parts: list[Html] = []
    named = [(topic, spans, VERMILION) for topic, spans in times.silences.items()]
    named += [
        ("what the policy saw", marks(times.blind), VERMILION),
        ("person acted", marks(times.intervened), BLUE),
        ("filter acted", marks(times.limited), AMBER),
    ]
    for index, (name, spans, colour) in enumerate(named):
        parts += row(index * _ROW, name, spans, colour)
    bottom = len(named) * _ROW
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        anchor = "end" if share == 1.0 else "start" if share == 0.0 else "middle"
        parts.append(
            _text(_LEFT + room * share, bottom + 14, f"{share * span / 1e9:.1f} s", GREY, anchor)
        )
    return _svg(bottom + 20, "the episode in time", *parts)


def _short(name: str) -> str:
    return name if len(name) <= 26 else "…" + name[-25:]
