"""rtc.html for people and rtc.json for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vla_rl_nodes.bench.rtc import plots
from vla_rl_nodes.demo.page import (
    Html,
    Tone,
    card,
    document,
    drawing,
    joined,
    number,
    percent,
    rows,
    tag,
    tile,
)
from vla_rl_nodes.errors import InputError

_FINDINGS = {
    "success": "Success, all tasks",
    "seams": "Second differences at seams against inside chunks",
    "seconds": "Time to success",
}


def write_report(out: Path, result: dict[str, Any]) -> tuple[Path, Path]:
    """Writes the page, its figures as SVG files, and the result.

    Args:
        out: an existing folder.
        result: of command.run.

    Raises:
        InputError: a file cannot be written.
    """
    strategies = result["strategies"]
    figures = {
        "success": plots.success(strategies),
        "seams": plots.seams(strategies),
        "seconds": plots.seconds(strategies),
    }
    for task in next(iter(strategies.values()))["tasks"]:
        figures[f"success_{task}"] = plots.success(strategies, task)
    page = document("bench rtc", _body(result, figures), tag("p", "vla_rl_nodes", class_="soft"))
    files = {f"rtc_{name}.svg": data for name, data in figures.items()}
    files["rtc.html"] = page.encode()
    text = json.dumps(result, indent=1, sort_keys=True, allow_nan=False) + "\n"
    files["rtc.json"] = text.encode()
    try:
        for name, data in files.items():
            (out / name).write_bytes(data)
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise InputError(
            out, f"cannot be written to ({reason})", "choose another folder"
        ) from error
    return out / "rtc.html", out / "rtc.json"


def _body(result: dict[str, Any], figures: dict[str, bytes]) -> Html:
    found, toy, queue = result["verdict"], result["toy"], result["queue"]
    tiles = [
        tile("points lost from no delay to the longest", number(found["points_lost_by_delay"], 1),
             "one-step prefix student, at most 3 wanted", _tone(found, "success_kept")),
        tile("least lead over a baseline from 4 ticks on, points",
             number(min(found["least_lead_points"].values(), default=None), 1),
             "more than 0 wanted", _tone(found, "above_every")),
        tile("worst seam ratio", number(found["worst_seam_ratio"], 2), "at most 1.2 wanted",
             _tone(found, "seam_ratio")),
        tile("mode switches of the toy", percent(toy["mode_switch"], 2),
             "at most 0.5 % wanted", "good" if toy["mode_switch"] <= 0.005 else "bad"),
        tile("starved ticks of 100 000", number(queue["jitter"]["starved"]),
             "jitter, five-fold spikes, a cold start",
             "bad" if queue["jitter"]["starved"] else "good"),
    ]  # fmt: skip
    cards = [card(_FINDINGS.get(name, f"Success: {name.removeprefix('success_')}"),
                  drawing(data, name)) for name, data in figures.items()]  # fmt: skip
    return joined(
        tag("h1", "Chunk strategies against delay"),
        tag(
            "p",
            f"Three tasks in the plane in which delay and several good answers matter, "
            f"{result['training_seeds']} training seeds, {result['episodes_a_point']} episodes a "
            "point. The runtime is the robot's; inference takes so many control ticks of 50 ms. "
            "Shaded: 95 % intervals. Dashed: baselines.",
            class_="lead",
        ),
        tag("div", *tiles, class_="tiles"),
        tag("h2", "Against delay"),
        tag("div", *cards, class_="columns"),
        tag("h2", "Success in per cent, with its 95 % interval"),
        _table(result["strategies"]),
    )


def _tone(found: dict[str, Any], claim: str) -> Tone:
    held = next(value for name, value in found["held"].items() if name.startswith(claim))
    return "good" if held else "bad"


def _table(strategies: dict[str, Any]) -> Html:
    delays = next(iter(strategies.values()))["delay"]
    body = [
        [
            name,
            *(
                f"{100 * s:.1f} ({100 * low:.0f}–{100 * high:.0f})"
                for s, low, high in zip(
                    row["success"], row["success_low"], row["success_high"], strict=True
                )
            ),
        ]
        for name, row in strategies.items()
    ]
    return rows(["strategy", *(f"d = {d}" for d in delays)], body)
