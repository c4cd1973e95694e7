"""The one error that bad input raises anywhere in the package."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from outside: a file, a message, an argument or the network.

    It renders as one line, ``place: problem; remedy``, so that every node and command can print
    it as it is, without a traceback.

    Args:
        place: the file, key, topic or argument that is wrong.
        problem: what was found and what was expected.
        remedy: what the reader can do about it.
    """

    def __init__(self, place: object, problem: str, remedy: str) -> None:
        self.place = " ".join(str(place).split())
        self.problem = " ".join(problem.split())
        self.remedy = " ".join(remedy.split())
        super().__init__(f"{self.place}: {self.problem}; {self.remedy}")
