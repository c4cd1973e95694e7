"""Who may open the page: the token, the sessions that it opens, and how often it may be tried."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from dataclasses import dataclass

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
FORGOTTEN_S = 3600.0
MOST_ADDRESSES = 1024
LONGEST_GIVEN = 4096
MOST_ENDED = 1024


@dataclass(frozen=True)
class Verdict:
    """What became of a token: taken or not, and how long the next try has to wait."""

    taken: bool
    wait_s: float = 0.0


@dataclass
class _Tries:
    wrong: int
    not_before_s: float


class Access:
    """Compares tokens in constant time and makes sessions; times are passed in.

    A session is a text that only who knows the token can make: so it outlives a server that is
    started again, and ends with its time or with the token. What was logged out is remembered by
    this server only.

    Args:
        token: None lets everybody in.
        session_s: how long a session lasts.
    """

    def __init__(self, token: bytes | None, session_s: float) -> None:
        self._digest = None if token is None else hashlib.sha256(token).digest()
        self._key = None if token is None else hmac.digest(token, b"page session", "sha256")
        self._session_s = session_s
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether there is no token to give."""
        return self._digest is None

    def try_token(self, given: str, address: str, now_s: float) -> Verdict:
        """Whether a token is the right one.

        A wrong one makes its address wait, each time twice as long; what comes before the end of
        that is not looked at.

        Args:
            given: as it came.
            address: who tries.
            now_s: steady clock.
        """
        if self._digest is None:
            return Verdict(True)
        who = _household(address)
        known = self._tries.get(who)
        if known is not None and now_s < known.not_before_s:
            return Verdict(False, known.not_before_s - now_s)
        data = given[:LONGEST_GIVEN].encode("utf-8", "replace")
        if hmac.compare_digest(hashlib.sha256(data).digest(), self._digest):
            self._tries.pop(who, None)
            return Verdict(True)
        wrong = 1
        if known is not None and now_s < known.not_before_s + FORGOTTEN_S:
            wrong = known.wrong + 1
        delay = min(FIRST_DELAY_S * 2.0 ** min(wrong - 1, 30), LONGEST_DELAY_S)
        self._tries[who] = _Tries(wrong, now_s + delay)
        self._tries.move_to_end(who)
        while len(self._tries) > MOST_ADDRESSES:
            self._tries.popitem(last=False)
        return Verdict(False, delay)

    def session(self, wall_s: float) -> str:
        """A new session's text.

        Args:
            wall_s: seconds since 1970.
        """
        said = f"{int(wall_s + self._session_s)}.{secrets.token_urlsafe(12)}"
        return f"{said}.{self._sign(said)}"

    def session_holds(self, text: str, wall_s: float) -> bool:
        """Whether a session was made with this token and is not over."""
        said, dot, signature = text[:LONGEST_GIVEN].rpartition(".")
        signed = signature.encode("utf-8", "replace")
        if self._key is None or not dot or not hmac.compare_digest(
            signed, self._sign(said).encode()
        ):  # fmt: skip
            return False
        return wall_s < int(said.partition(".")[0]) and text not in self._ended

    def end_session(self, text: str, wall_s: float) -> None:
        """Nobody comes in with this session any more."""
        if self.session_holds(text, wall_s):
            self._ended[text] = None
            while len(self._ended) > MOST_ENDED:
                self._ended.popitem(last=False)

    def _sign(self, said: str) -> str:
        assert self._key is not None
        return hmac.new(self._key, said.encode("utf-8", "replace"), "sha256").hexdigest()


def _household(address: str) -> str:
    """What tries together: of IPv6 one customer has at least a /64."""
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(number, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((number, 64), strict=False))
    return str(number)
