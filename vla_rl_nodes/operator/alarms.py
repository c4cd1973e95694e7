"""What a person has to see at once, the gravest first."""

from __future__ import annotations

from typing import Any

RUNNING = "running"
UNDER_WAY = ("resetting", "ready", "running")


def alarms(shown: dict[str, Any], unheard_e_stop: bool) -> list[dict[str, str]]:
    """The alarms of a snapshot.

    Args:
        shown: the page's parts.
        unheard_e_stop: the page's emergency stop was pressed and nothing came of it.

    Returns:
        Each with a ``level`` (error, warn) and one line.
    """
    errors, warnings = _of_safety(shown, unheard_e_stop)
    _of_people(shown, warnings)
    _of_machines(shown, errors, warnings)
    found = [{"level": "error", "text": text} for text in errors]
    return found + [{"level": "warn", "text": text} for text in warnings]


def _of_safety(shown: dict[str, Any], unheard: bool) -> tuple[list[str], list[str]]:
    safety, errors, warnings = shown["safety"], [], []
    if unheard:
        errors.append(
            "The emergency stop was sent, but the safety filter does not confirm it."
            " Use the robot's own stop."
        )
    why = "; ".join(safety["reasons"])
    if safety["silent"]:
        errors.append("Nothing is heard of the safety filter.")
    elif safety["latched"]:
        errors.append("Emergency stop is latched. Release it, then reset it.")
    elif safety["state"] in ("faulted", "stopped"):
        errors.append(f"The safety filter has {safety['state']}: {why or safety['text']}.")
    elif safety["state"] == "stopping":
        warnings.append(f"The robot is being stopped: {why or safety['text']}.")
    return errors, warnings


def _of_people(shown: dict[str, Any], warnings: list[str]) -> None:
    episode, reset, retry = shown["episode"], shown["reset"], shown["retry"]
    if reset["state"] == "asking":
        warnings.append(f"The reset asks you: {reset['reason'] or reset['step'] or 'please help'}")
    if episode.get("help"):
        warnings.append(f"The robot asks for help: {episode['help']}")
    elif retry["asks"] == "help" and retry["id"] == episode.get("id", "") and (
        episode["state"] == RUNNING
    ):  # fmt: skip
        warnings.append(f"The robot asks for help: {retry['cause']}")
    if shown["intervention"]["state"] == "lost":
        why = shown["intervention"]["reason"]
        warnings.append(f"The intervention device is lost: {why or 'no word of it'}")


def _of_machines(shown: dict[str, Any], errors: list[str], warnings: list[str]) -> None:
    episode, policy, recorder = shown["episode"], shown["policy"], shown["recorder"]
    learner, bundle, reset = shown["learner"], shown["bundle"], shown["reset"]
    if not episode["state"]:
        errors.append("Nothing is heard of the episode node.")
    if recorder["state"] == "failed":
        errors.append(f"The recorder failed: {recorder['reason']}")
    if reset["state"] == "failed":
        warnings.append(f"The reset failed: {reset['reason']}")
    if episode["state"] == RUNNING and policy["silent"]:
        errors.append("The episode runs, but nothing is heard of the policy.")
    elif episode["state"] == RUNNING and policy.get("blind"):
        warnings.append(f"The policy is blind: no recent {policy['blind']}")
    if learner["state"]:
        if learner["silent"]:
            warnings.append("Nothing is heard of the link to the learner.")
        elif learner["state"] == "full":
            errors.append("The queue to the learner is full: no further episode is recorded.")
        elif learner["state"] == "down":
            warnings.append(f"The link to the learner is down: {learner['error']}")
    if bundle["news"] in ("refused", "rolled back", "withdrawn"):
        warnings.append(f"Bundle {bundle['version']} {bundle['news']}: {bundle['reason']}")
