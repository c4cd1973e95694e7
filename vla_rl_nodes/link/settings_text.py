"""The lines of learner.yaml that go with keys that were just made."""

from __future__ import annotations

from collections.abc import Sequence

from vla_rl_nodes.link.key_folder import CA_CERTIFICATE, ROBOTS, Made

_QUOTA = 100_000_000_000


def settings_lines(made: Made, contracts: Sequence[str]) -> str:
    """YAML for learner.yaml, with what to do in comments.

    Args:
        made: by ``make_keys``.
        contracts: SHA-256 of those that the robots may send episodes of.
    """
    lines = []
    if made.learner is not None:
        folder = made.folder.absolute()
        lines += [
            "certificates:",
            f"  authority: {folder / CA_CERTIFICATE}",
            f"  certificate: {made.learner.absolute() / 'learner.crt'}",
            f"  key: {made.learner.absolute() / 'learner.key'}",
        ]
    if made.robots:
        lines.append("robots:")
    for name, fingerprints in made.robots.items():
        lines += [
            f"  # copy {made.folder / ROBOTS / name} to the robot, then delete robot.key here",
            f"  '{name}':",
            "    certificate_sha256:",
            *(f"      - '{fingerprint}'" for fingerprint in fingerprints),
            f"    contracts: [{', '.join(repr(sha256) for sha256 in contracts)}]",
            f"    quota_bytes: {_QUOTA}",
        ]
    return "\n".join(lines)
