"""Which bundles have come, what became of them, and which reports are still to be sent."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from vla_rl_nodes.link.ledger import Ledger
from vla_rl_nodes.link.protocol import BundleReport, BundleState
from vla_rl_nodes.link.robot_database import database_error

ENDED = ("refused", "rolled_back")  # states after which a version is not taken again
_LONGEST_REASON = 2000  # of a report


@dataclass(frozen=True)
class Pending:
    """A report that the learner has not acknowledged.

    Attributes:
        number: its place in the order.
        version: of the bundle.
        body: what is to be said of it.
    """

    number: int
    version: str
    body: BundleReport


class BundleLedger:
    """Rows beside those of the episodes; every change is on the disk when its method returns.

    Args:
        ledger: whose file it shares.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._path, self._database = ledger.path, ledger.database

    def last(self) -> str:
        """Version of the bundle that was dealt with last; empty before the first one."""
        rows = self._run("SELECT version FROM bundles ORDER BY number DESC LIMIT 1")
        return str(rows[0][0]) if rows else ""

    def state(self, version: str) -> str:
        """What became of a bundle; empty where it never came."""
        rows = self._run("SELECT state FROM bundles WHERE version = ?", version)
        return str(rows[0][0]) if rows else ""

    def note(
        self, version: str, sha256: str, state: BundleState, reason: str, stamp_ns: int
    ) -> None:
        """A bundle has come; it is the last one from now on. To be reported."""
        reason = reason[:_LONGEST_REASON]
        self._together(
            ("DELETE FROM bundles WHERE version = ?", (version,)),
            ("INSERT INTO bundles (version, sha256, state, reason) VALUES (?, ?, ?, ?)",
             (version, sha256, state, reason)),
            (_REPORT, (version, state, reason, stamp_ns)),
        )  # fmt: skip

    def happened(self, version: str, state: BundleState, reason: str, stamp_ns: int) -> bool:
        """Something has become of a bundle that came over the link.

        Returns:
            Whether that is new and is to be reported.
        """
        reason = reason[:_LONGEST_REASON]
        rows = self._run("SELECT state, reason FROM bundles WHERE version = ?", version)
        if not rows or tuple(rows[0]) == (state, reason):
            return False
        self._together(
            ("UPDATE bundles SET state = ?, reason = ? WHERE version = ?",
             (state, reason, version)),
            (_REPORT, (version, state, reason, stamp_ns)),
        )  # fmt: skip
        return True

    def pending(self) -> Pending | None:
        """The oldest report that was not acknowledged."""
        rows = self._run(
            "SELECT number, version, state, reason, stamp_ns FROM reports ORDER BY number LIMIT 1"
        )
        if not rows:
            return None
        number, version, state, reason, stamp_ns = rows[0]
        return Pending(
            number, version, BundleReport(state=state, reason=reason, stamp_ns=stamp_ns)
        )

    def reported(self, report: Pending) -> None:
        """The learner has it."""
        self._run("DELETE FROM reports WHERE number = ?", report.number)

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise database_error(self._path, error) from error

    def _together(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in statements:
                    self._database.execute(statement, values)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise database_error(self._path, error) from error


_REPORT = "INSERT INTO reports (version, state, reason, stamp_ns) VALUES (?, ?, ?, ?)"
