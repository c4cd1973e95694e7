"""Requests that are refused, each with its HTTP status, in one line."""

from __future__ import annotations

from http import HTTPStatus

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.protocol import Problem


class RefusedError(InputError):
    """A request that is answered with a status of 4xx or 5xx.

    Args:
        status: of HTTP.
        place: of the problem, usually the episode or the bundle.
        offset: where the learner stands, where that is what the robot needs.
    """

    def __init__(
        self, status: HTTPStatus, place: str, problem: str, remedy: str, offset: int | None = None
    ) -> None:
        super().__init__(place, problem, remedy)
        self.status, self.offset = status, offset

    def told(self) -> Problem:
        """The answer's body."""
        more = {} if self.offset is None else {"offset": self.offset}
        return Problem(
            title=self.status.phrase,
            detail=f"{self.place}: {self.problem}",
            remedy=self.remedy,
            status=self.status.value,
            **more,
        )


def refused(status: HTTPStatus, error: InputError) -> RefusedError:
    """An error as the reason of a refusal."""
    return RefusedError(status, error.place, error.problem, error.remedy)
