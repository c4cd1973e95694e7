"""What `policy run-bag` says: numbers for machines, a few lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.run_bag import BagRun, Replayed, Runner
from vla_rl_nodes.replay.run_bag_filter import NOT_REPLAYED
from vla_rl_nodes.replay.run_bag_record import Record
from vla_rl_nodes.safety.reasons import Reason, reason_names

Rows = NDArray[Any]
Masks = NDArray[np.uint32]


def difference(contract: Contract, one: Rows, other: Rows) -> dict[str, Any]:
    """How far actions [T, A] are from others, over the ticks at which both have one.

    Both are held as float32, as they are recorded: ``equal`` counts ticks that are the same to
    the last bit. ``axes`` gives the greatest and the mean absolute difference in the axis' unit.
    """
    one, other = one.astype(np.float32), other.astype(np.float32)
    here, there = np.isfinite(one).all(axis=1), np.isfinite(other).all(axis=1)
    both = here & there
    apart = np.abs(one[both].astype(np.float64) - other[both])
    return {
        "compared": int(both.sum()),
        "equal": int((one[both] == other[both]).all(axis=1).sum()),
        "only_one": int((here & ~there).sum()),
        "only_other": int((there & ~here).sum()),
        "axes": {
            axis.name: {
                "unit": axis.unit,
                "max": float(apart[:, i].max()) if len(apart) else None,
                "mean": float(apart[:, i].mean()) if len(apart) else None,
            }
            for i, axis in enumerate(contract.action.axes)
        },
    }


def limits(recorded: Masks, replayed: Masks) -> dict[str, dict[str, int]]:
    """By reason, the ticks at which it was recorded and replayed; ``new`` were not recorded,
    ``gone`` only recorded. What is not replayed is left out."""
    found = {}
    for reason in Reason:
        before, after = (masks & np.uint32(reason) != 0 for masks in (recorded, replayed))
        if reason & NOT_REPLAYED and not after.any():
            continue
        if before.any() or after.any():
            found[reason_names(reason)[0]] = {
                "recorded": int(before.sum()), "replayed": int(after.sum()),
                "new": int((after & ~before).sum()), "gone": int((before & ~after).sum()),
            }  # fmt: skip
    return found


def between(one: Masks, other: Masks) -> dict[str, dict[str, int]]:
    """By reason, the ticks at which both versions trip it, and those at which one alone does."""
    found = {}
    for reason in Reason:
        first, second = (masks & np.uint32(reason) != 0 for masks in (one, other))
        if first.any() or second.any():
            found[reason_names(reason)[0]] = {
                "both": int((first & second).sum()),
                "only_first": int((first & ~second).sum()),
                "only_second": int((second & ~first).sum()),
            }
    return found


def _joined(arrays: Sequence[Rows]) -> Rows:
    whole: Rows = np.concatenate(arrays)
    return whole


def summary(contract: Contract, runs: Sequence[BagRun], which: int) -> dict[str, Any]:
    """One version over one bag or several: what ``versions`` holds for each bag and in sum."""
    done = [run.versions[which] for run in runs]
    records = [run.record for run in runs]
    proposed = _joined([d.proposals.actions for d in done])
    recorded = _joined([r.proposed for r in records])
    same = _joined([d.same_question(r) for d, r in zip(done, records, strict=True)])
    names = done[0].filtered.reference_names
    drift = np.abs(_joined([d.filtered.drift for d in done]))
    farthest = np.where(np.isnan(drift), 0.0, drift).max(axis=0, initial=0.0)
    return {
        "version": done[0].version,
        "own_schedule": next((d.own_schedule for d in done if d.own_schedule), ""),
        "chunks": sum(d.proposals.chunks for d in done),
        "starved": sum(d.proposals.starved for d in done),
        "problems": sorted({p for d in done for p in d.proposals.problems}),
        "proposed": difference(contract, proposed, recorded),
        "reproduced": difference(contract, proposed[same], recorded[same]),
        "executed": difference(
            contract, _joined([d.filtered.executed for d in done]),
            _joined([r.executed for r in records]),
        ),
        "limits": limits(
            _joined([r.reasons for r in records]), _joined([d.filtered.reasons for d in done])
        ),
        "stopped": sum(d.filtered.stop is not None for d in done),
        "drift": dict(zip(names, map(float, farthest), strict=True)),
    }  # fmt: skip


def versus(contract: Contract, runs: Sequence[BagRun]) -> dict[str, Any]:
    """Two versions against each other over one bag or several."""
    one, other = ([run.versions[i] for run in runs] for i in (0, 1))
    return {
        "first": one[0].version,
        "second": other[0].version,
        "proposed": difference(
            contract, _joined([d.proposals.actions for d in one]),
            _joined([d.proposals.actions for d in other]),
        ),
        "executed": difference(
            contract, _joined([d.filtered.executed for d in one]),
            _joined([d.filtered.executed for d in other]),
        ),
        "limits": between(
            _joined([d.filtered.reasons for d in one]),
            _joined([d.filtered.reasons for d in other]),
        ),
    }  # fmt: skip


def as_dict(runner: Runner, runs: Sequence[BagRun]) -> dict[str, Any]:
    """Everything, for machines; the same for the same input, whenever and wherever."""
    return {
        "run_bag": 1,
        "contract": runner.contract.name,
        "contract_sha256": runner.contract.sha256,
        "chunking": runner.settings.strategy.name,
        "bundles": [{"path": s.path, "version": s.version} for s in runner.subjects],
        "not_replayed": list(reason_names(NOT_REPLAYED)),
        "bags": [_bag(runner.contract, run) for run in runs],
        "sum": {"bags": len(runs), "ticks": sum(len(r.record.stamps_ns) for r in runs)}
        | _compared(runner.contract, runs),
    }


def _compared(contract: Contract, runs: Sequence[BagRun]) -> dict[str, Any]:
    count = len(runs[0].versions)
    found: dict[str, Any] = {"versions": [summary(contract, runs, i) for i in range(count)]}
    return found | ({"between": versus(contract, runs)} if count == 2 else {})


def _bag(contract: Contract, run: BagRun) -> dict[str, Any]:
    record = run.record
    recorded = np.bitwise_or.reduce(record.reasons, initial=0)
    return {
        "bag": record.place,
        "episode_id": record.episode_id,
        "ticks": len(record.stamps_ns),
        "recorded_versions": list(dict.fromkeys(record.versions)),
        "observations": sum(seen is not None for seen in record.observations),
        "observations_differing": record.differing,
        "chunks_recorded": len(record.timing.asked),
        "chunks_unplaced": record.timing.unplaced,
        "recorded_only": list(reason_names(Reason(int(recorded)) & NOT_REPLAYED)),
        **_compared(contract, [run]),
        "stops": [_stop(record, version) for version in run.versions],
        "steps": [_step(run, row) for row in range(len(record.stamps_ns))],
    }


def _stop(record: Record, version: Replayed) -> dict[str, Any] | None:
    stop = version.filtered.stop
    if stop is None:
        return None
    return {
        "stamp_ns": record.stamps_ns[stop.row],
        "reasons": list(reason_names(stop.reasons)),
        "message": stop.message,
    }


def _step(run: BagRun, row: int) -> dict[str, Any]:
    record = run.record
    return {
        "stamp_ns": record.stamps_ns[row],
        "recorded": {
            "version": record.versions[row],
            "proposed": numbers(record.proposed[row]),
            "executed": numbers(record.executed[row]),
            "reasons": list(reason_names(Reason(int(record.reasons[row])))),
        },
        "versions": [
            {
                "proposed": numbers(done.proposals.actions[row]),
                "executed": numbers(done.filtered.executed[row]),
                "reasons": list(reason_names(Reason(int(done.filtered.reasons[row])))),
                "in_step": bool(done.proposals.in_step[row]),
                "drift": numbers(done.filtered.drift[row]),
            }
            for done in run.versions
        ],
    }


def numbers(row: Rows) -> list[float] | None:
    """A vector for JSON; None where a component is not finite."""
    return [float(v) for v in row] if np.isfinite(row).all() else None
