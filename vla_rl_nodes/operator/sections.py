"""What the page shows, part by part, each from what one node said."""

from __future__ import annotations

from typing import Any

from vla_rl_nodes.operator.said import Said, shortened

Section = dict[str, Any]

SILENT_S = 0.5  # of nodes that speak at every tick
SLOW_SILENT_S = 3.0  # of those that speak once a second
E_STOP = "21"  # safety.status.Status.E_STOP


def silent(said: Said | None, now_s: float, limit_s: float) -> bool:
    """Whether a node that should speak does not."""
    return said is None or now_s - said.at_s > limit_s


def episode(said: Said | None, left_s: float | None) -> Section:
    """The episode's state and what is known of it."""
    if said is None:
        return {"state": ""}
    return {
        "state": shortened(said.message),
        "id": said.text("episode_id"),
        "task": said.text("goal") or said.text("task"),
        "robot": said.text("robot"),
        "contract": said.text("contract"),
        "operator": said.text("operator"),
        "seed": said.text("seed"),
        "reset_mode": said.text("reset_mode"),
        "attempt": said.text("attempt"),
        "reset_attempts": said.text("reset_attempts"),
        "paused": said.flag("paused"),
        "discarded": said.flag("discarded"),
        "automatic": said.flag("automatic"),
        "automatic_off": said.text("automatic_off"),
        "retreating": said.flag("retreating"),
        "help": said.text("help"),
        "reason": said.text("reason"),
        "limit_s": said.number("time_limit_s"),
        "left_s": None if left_s is None else round(left_s, 1),
    }


def safety(said: Said | None, reasons: list[str], late_ms: float | None, now_s: float) -> Section:
    """The filter: its state, why, and who is in command."""
    if said is None:
        return {"state": "", "silent": True, "source": "", "latched": False, "reasons": []}
    quiet = silent(said, now_s, SILENT_S)
    return {
        "state": shortened(said.message),
        "text": said.text("status_text"),
        "reasons": reasons,
        "latched": said.text("status") == E_STOP,
        "source": "" if quiet else said.text("source"),
        "late_ms": late_ms,
        "skipped": said.number("skipped_ticks"),
        "silent": quiet,
    }


def policy(said: Said | None, late_ms: float | None, now_s: float) -> Section:
    """The policy's ticks; it is silent while no episode runs."""
    if said is None:
        return {"silent": True}
    return {
        "version": shortened(said.version),
        "late_ms": late_ms,
        "skipped": said.number("skipped_ticks"),
        "blind": said.text("blind"),
        "starved": said.flag("starved"),
        "age_ms": said.number("observation_age_ms"),
        "silent": silent(said, now_s, SILENT_S),
    }


def intervention(said: Said | None) -> Section:
    """The person's device."""
    if said is None:
        return {"state": ""}
    return {
        "state": shortened(said.message),
        "device": said.text("device"),
        "reason": said.text("reason"),
        "edges": said.text("edges"),
        "matching_error": said.text("matching_error"),
    }


def reset(said: Said | None) -> Section:
    """The reset: what it does, or what it asks."""
    if said is None:
        return {"state": ""}
    return {
        "state": shortened(said.message),
        "mode": said.text("mode"),
        "step": said.text("step"),
        "attempt": said.text("attempt"),
        "reason": said.text("reason"),
        "seconds": said.number("seconds"),
    }


def learner(said: Said | None, now_s: float) -> Section:
    """The queue of episodes to the learner."""
    if said is None:
        return {"state": ""}
    return {
        "state": shortened(said.message),
        "queue": said.number("queue"),
        "queue_bytes": said.number("queue_bytes"),
        "bytes_per_s": said.number("bytes_per_s"),
        "oldest_s": said.number("oldest_s"),
        "held": said.number("held"),
        "error": said.text("last_error"),
        "silent": silent(said, now_s, SLOW_SILENT_S),
    }


def recorder(said: Said | None) -> Section:
    """The recorder."""
    if said is None:
        return {"state": ""}
    return {
        "state": shortened(said.message),
        "id": said.text("episode_id"),
        "reason": said.text("reason"),
        "messages": said.number("messages"),
        "dropped": said.number("dropped"),
    }


def bundle(said: Said | None) -> Section:
    """The policy bundles: which one serves, and what became of the last one."""
    if said is None:
        return {"news": ""}
    return {
        "news": shortened(said.message),
        "version": said.text("version"),
        "reason": said.text("reason"),
        "serving": said.text("serving") or shortened(said.version),
        "phase": said.text("phase"),
        "level": said.level,
    }


def retry(said: Said | None) -> Section:
    """The last request of the monitor."""
    if said is None:
        return {"asks": ""}
    return {
        "asks": shortened(said.message),
        "cause": said.text("cause"),
        "attempt": said.text("attempt"),
        "id": said.text("episode_id"),
    }


def outcome(said: Said | None) -> Section:
    """How the last episode ended."""
    if said is None:
        return {"state": ""}
    return {
        "state": shortened(said.message),
        "reason": said.text("reason"),
        "id": said.text("episode_id"),
        "discarded": said.flag("discarded"),
    }
