"""The report of a run: report.html for people, report.json for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_rl_nodes.demo import machinery_sections, sections
from vla_rl_nodes.demo.measure import EpisodeMeasure
from vla_rl_nodes.demo.page import document, joined, tag
from vla_rl_nodes.errors import InputError


def write_report(
    out: Path,
    summary: dict[str, Any],
    measures: Sequence[EpisodeMeasure],
    blackout: Sequence[EpisodeMeasure] = (),
) -> tuple[Path, Path]:
    """Writes ``report.html``, one file that needs no other, and ``report.json``, the summary.

    Args:
        out: an existing folder.
        summary: what ``summary.summarise`` gave.
        measures: the episodes with working cameras.
        blackout: the control group.

    Raises:
        InputError: a file cannot be written.
    """
    every = [*measures, *blackout]
    body = [sections.headline(summary), sections.outcomes(summary, measures, blackout)]
    shown = typical(measures or blackout)
    if shown is not None:
        body += [
            sections.one_episode(shown, [m for m in every if m is not shown]),
            machinery_sections.real_time(summary, every),
            machinery_sections.safety(summary, every),
        ]
    body.append(sections.method(summary))
    title = f"{summary['robot']}: {summary['successes']} of {summary['episodes']} episodes"
    page = document(title, joined(*body), tag("p", "vla_rl_nodes", class_="soft"))
    html, data = out / "report.html", out / "report.json"
    text = json.dumps(summary, indent=2, sort_keys=True, allow_nan=False) + "\n"
    try:
        html.write_text(page, encoding="utf-8")
        data.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise InputError(
            out, f"cannot be written to ({reason})", "free space or choose another folder"
        ) from error
    return html, data


def typical(measures: Sequence[EpisodeMeasure]) -> EpisodeMeasure | None:
    """The successful episode of median duration; without success, of all that have ticks."""
    found = [m for m in measures if m.outcome == "success"] or list(measures)
    found = [m for m in found if m.ticks.ticks] or found
    return sorted(found, key=lambda m: m.duration_s)[(len(found) - 1) // 2] if found else None
