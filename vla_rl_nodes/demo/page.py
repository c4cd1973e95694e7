"""HTML by construction: every text is escaped, nothing is fetched, no script runs."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Tone = Literal["good", "bad", "plain"]

_VOID = {"img", "meta", "br"}
_ENLARGED = 3  # times, nearest neighbour: a pixel stays a pixel


class Html(str):
    """Markup. Any other string is text and is escaped where it is put in."""


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element; a trailing underscore in an attribute's name is left out (``class_``)."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: str) -> Html:
    """Several pieces, one after the other."""
    return Html("".join(c if isinstance(c, Html) else html.escape(c) for c in children))


def drawing(svg: bytes, alt: str) -> Html:
    """A figure embedded as SVG."""
    data = base64.b64encode(svg).decode()
    return tag("img", src=f"data:image/svg+xml;base64,{data}", alt=alt, class_="drawing")


def pixels(image: NDArray[np.uint8], alt: str) -> Html:
    """A small picture [height, width, 3], enlarged without smoothing and embedded as PNG."""
    large = image.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    out = io.BytesIO()
    Image.fromarray(large).save(out, format="PNG", optimize=True)
    data = base64.b64encode(out.getvalue()).decode()
    return tag("img", src=f"data:image/png;base64,{data}", alt=alt, class_="pixels")


def tile(label: str, value: str, note: str = "", tone: Tone = "plain") -> Html:
    """One headline figure; good and bad carry a mark as well as a colour."""
    mark = {"good": "✓ ", "bad": "✗ ", "plain": ""}[tone]
    return tag(
        "div", tag("div", label, class_="label"), tag("div", mark + value, class_="value"),
        tag("div", note, class_="note"), class_=f"tile {tone}",
    )  # fmt: skip


def card(finding: str, *body: str, note: str = "") -> Html:
    """A block under a heading that says what it shows."""
    foot = tag("p", note, class_="note") if note else Html("")
    return tag("figure", tag("h3", finding), *body, foot, class_="card")


def rows(head: Sequence[str], body: Sequence[Sequence[str]], texts: int = 1) -> Html:
    """A table that scrolls sideways where it does not fit; the first ``texts`` columns are text,
    the others figures."""

    def line(name: str, cells: Sequence[str]) -> Html:
        return tag("tr", *(
            tag(name, cell, class_="text" if i < texts else "figure")
            for i, cell in enumerate(cells)
        ))  # fmt: skip

    table = tag(
        "table", tag("thead", line("th", head)), tag("tbody", *(line("td", r) for r in body))
    )
    return tag("div", table, class_="scroll")


def document(title: str, *body: str) -> str:
    """The whole page."""
    head = joined(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"),
        tag("title", title), tag("style", Html(_CSS)),
    )  # fmt: skip
    page = tag("html", tag("head", head), tag("body", tag("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def number(value: float | int | None, digits: int = 0, unit: str = "") -> str:
    """A figure for people, thousands apart; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    return f"{text}\u00a0{unit}" if unit else text


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def percent(rate: float | None, digits: int = 0) -> str:
    """A rate in per cent; a dash where there is none."""
    return "–" if rate is None else f"{100 * rate:.{digits}f}\u00a0%"


def all_of(part: int, whole: int) -> str:
    """``All 7`` or ``5 of 7``."""
    return f"All {number(whole)}" if part == whole else f"{number(part)} of {number(whole)}"


def definitions(entries: Sequence[tuple[str, str]]) -> Html:
    """Terms with their meanings."""
    found: list[Any] = []
    for term, meaning in entries:
        found += [tag("dt", term), tag("dd", meaning)]
    return tag("dl", *found)


_CSS = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5c6773; --line: #dfe3e8; --good: #00795a;
  --bad: #b8410a; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1220px; margin: 0 auto; padding: 28px 18px 60px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 1.2rem; margin: 38px 0 4px; }
h3 { font-size: 1rem; line-height: 1.35; margin: 0 0 10px; }
p { margin: 0 0 12px; max-width: 78ch; }
.lead { font-size: 1.08rem; }
.note, .label, .soft { color: var(--soft); }
.tiles { display: grid; gap: 10px; margin: 20px 0 0;
  grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
.tile { background: #fff; border: 1px solid var(--line); border-left: 4px solid #aab4be;
  border-radius: 6px; padding: 10px 12px; }
.tile .value { font-size: 1.45rem; font-weight: 650; line-height: 1.3; }
.tile .label, .tile .note { font-size: .82rem; line-height: 1.35; }
.tile.good { border-left-color: var(--good); } .tile.good .value { color: var(--good); }
.tile.bad { border-left-color: var(--bad); } .tile.bad .value { color: var(--bad); }
.columns { columns: 2 500px; column-gap: 16px; margin: 12px 0 16px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 6px; margin: 0 0 16px;
  padding: 14px 16px; break-inside: avoid; }
.card .note { font-size: .85rem; line-height: 1.45; margin: 10px 0 0; }
.drawing { display: block; width: 100%; max-width: 640px; height: auto; margin: 0 auto; }
.strip { display: grid; gap: 8px; grid-template-columns: repeat(auto-fit, minmax(88px, 1fr)); }
.strip div { text-align: center; font-size: .82rem; }
.pixels { display: block; width: 100%; image-rendering: pixelated; margin-bottom: 4px;
  border-radius: 3px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal;
  min-width: 54px; }
td.text { white-space: normal; min-width: 60px; }
.text { text-align: left; } .figure { text-align: right; }
.success { color: var(--good); } .failure, .timeout, .aborted { color: var(--bad); }
.wide { margin-top: 12px; }
pre { background: #eef1f4; border-radius: 5px; padding: 10px 12px; overflow-x: auto;
  font-size: .85rem; line-height: 1.5; }
dl { display: grid; grid-template-columns: minmax(130px, 220px) 1fr; gap: 6px 18px; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
@media (max-width: 560px) { main { padding: 18px 10px 40px; } .card { padding: 12px 10px; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 10px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(135px, 1fr)); } }
"""
