"""Who of the viewers is in control of the page's buttons: one at a time."""

from __future__ import annotations

from vla_rl_nodes.operator.answer import Answer


class Lease:
    """Held by one viewer until it gives it up, is gone, or another one takes it over."""

    def __init__(self) -> None:
        self.holder: int | None = None
        self.name = ""

    def take(self, viewer: int, name: str, over: bool) -> Answer:
        """A viewer wants control.

        Args:
            viewer: number of its connection.
            name: of the person.
            over: also where somebody else has it.
        """
        if self.holder not in (None, viewer) and not over:
            return Answer(False, f"{self.name} is in control; take over, or wait")
        before = self.name if self.holder not in (None, viewer) else ""
        self.holder, self.name = viewer, name
        return Answer(True, f"you are in control, {before} no longer is" if before else
                      "you are in control")  # fmt: skip

    def give(self, viewer: int) -> bool:
        """A viewer gives control up, or is gone; whether it had it."""
        if self.holder != viewer:
            return False
        self.holder, self.name = None, ""
        return True

    def refusal(self, viewer: int) -> Answer | None:
        """Why a viewer's command is not taken."""
        if self.holder == viewer:
            return None
        if self.holder is None:
            return Answer(False, "nobody is in control; take control first")
        return Answer(False, f"{self.name} is in control; take control first")
