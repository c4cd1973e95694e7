"""What a learner has stored, for a person or a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.records import DATABASE, Episode, Records
from vla_rl_nodes.link.recovery import damage
from vla_rl_nodes.link.settings import load_learner_settings

_NS = 1_000_000_000


def inventory(
    config: Path,
    verify: bool,
    progress: Callable[[Sequence[Episode]], Iterable[Episode]] = lambda rows: rows,
) -> list[dict[str, Any]]:
    """The stored episodes in the order in which they came; a learner may run meanwhile.

    Args:
        config: learner.yaml.
        verify: read every file and compare its hash; otherwise only sizes are compared.
        progress: is given the rows and gives them back one by one.

    Returns:
        The columns of each row, ``received`` as text in UTC, and ``damage``, None where the file
        is what the row says.

    Raises:
        InputError: the settings or the database cannot be read, or there is none.
    """
    folder = load_learner_settings(config).folder
    if not (folder / DATABASE).exists():
        raise InputError(folder, "holds no learner's database", "start the learner once")
    records = Records(folder)
    try:
        rows = records.episodes()
    finally:
        records.close()
    blobs = Blobs(folder)
    return [
        {
            **asdict(row),
            "received": datetime.fromtimestamp(row.received_ns // _NS, UTC).isoformat(),
            "damage": damage(blobs, row, whole=verify),
        }
        for row in progress(rows)
    ]
