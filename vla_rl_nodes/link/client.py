"""What a robot asks its learner, and what it believes of the answers."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.bandwidth import TokenBucket
from vla_rl_nodes.link.protocol import (
    OFFSET_HEADER,
    PART_HASH_HEADER,
    BundleAnnouncement,
    BundleReport,
    EpisodeState,
    Problem,
    ServerStatus,
)
from vla_rl_nodes.remote.link import plain

LARGEST_ANSWER = 1 << 16
_PIECE = 1 << 16
_VERIFIED_PER_S = 10e6  # bytes of an episode that the learner checks at the least
Answer = TypeVar("Answer", bound=BaseModel)


class LinkError(InputError):
    """The learner cannot be reached, breaks off, or does not speak the protocol."""


class RefusalError(InputError):
    """The learner has answered that it will not.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, place: object, problem: str, remedy: str, status: int) -> None:
        super().__init__(place, problem, remedy)
        self.status = status

    @property
    def lasting(self) -> bool:
        """Whether asking again soon would change nothing."""
        return 400 <= self.status < 500 and self.status not in (400, 408, 425, 429)


class LearnerClient:
    """Requests over one pool of connections; nothing that redirects is followed.

    An answer is at most 64 KiB and must have come whole ``patience_s`` after the last byte of the
    request went out, so that a peer that dribbles is cut off.

    Args:
        address: ``https://HOST:PORT``.
        tls: see :func:`~vla_rl_nodes.link.robot_tls.robot_context`.
        patience_s: how long nothing may move.
        bucket: caps what is uploaded.

    Attributes:
        sent_bytes: of episodes, handed to the connection so far.
    """

    def __init__(
        self, address: str, tls: ssl.SSLContext, patience_s: float, bucket: TokenBucket
    ) -> None:
        self._address, self._tls, self._patience_s, self._bucket = address, tls, patience_s, bucket
        self._session: aiohttp.ClientSession | None = None
        self.sent_bytes = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=4),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience_s),
            headers={"Accept-Encoding": "identity", "User-Agent": "vla_rl_nodes"},
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def status(self) -> ServerStatus:
        """What the learner says of itself and of this robot."""
        return self._parsed(await self._ask("GET", "/v1/status"), ServerStatus)

    async def offer(self, episode_id: str, manifest: bytes) -> EpisodeState:
        """Offers an episode by the bytes of its manifest.

        Raises:
            LinkError: no usable answer.
            RefusalError: it is not taken.
        """
        headers = {"Content-Type": "application/json"}
        path = f"/v1/episodes/{episode_id}"
        body = await self._ask("PUT", path, manifest, headers)
        return self._parsed(body, EpisodeState)

    async def send(self, episode_id: str, size: int, offset: int, part: bytes) -> EpisodeState:
        """Sends a part of a file of ``size`` bytes; an empty one asks to conclude it.

        Raises:
            LinkError: no usable answer; the part may have arrived or not.
            RefusalError: it is not taken.
        """
        digest = await asyncio.to_thread(lambda: hashlib.sha256(part).hexdigest())
        headers = {
            "Content-Type": "application/octet-stream",
            OFFSET_HEADER: str(offset),
            PART_HASH_HEADER: digest,
        }
        # With its last part the learner reads the whole file before it answers.
        concludes = offset + len(part) >= size
        patience_s = self._patience_s + (size / _VERIFIED_PER_S if concludes else 0.0)
        path = f"/v1/episodes/{episode_id}"
        body = await self._ask("PATCH", path, part, headers, patience_s)
        return self._parsed(body, EpisodeState)

    async def latest_bundle(self, after: str, wait_s: float) -> BundleAnnouncement | None:
        """The newest bundle, when it is another one than ``after``; held for ``wait_s``."""
        query = f"?after={after}&wait={wait_s:g}" if after else f"?wait={wait_s:g}"
        body = await self._ask(
            "GET", f"/v1/bundles/latest{query}", patience_s=self._patience_s + wait_s
        )
        return self._parsed(body, BundleAnnouncement) if body else None

    async def report(self, version: str, report: BundleReport) -> None:
        """Tells what became of a bundle."""
        headers = {"Content-Type": "application/json"}
        text = report.model_dump_json().encode()
        await self._ask("POST", f"/v1/bundles/{version}/state", text, headers)

    async def bundle(
        self, version: str, offset: int, size: int, keep: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Hands the bytes of a bundle's zip, from an offset up to ``size``, to ``keep``.

        Raises:
            LinkError: they did not all come.
            RefusalError: they are not given.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        path = f"/v1/bundles/{version}"
        place = self._address + path
        async with self._request("GET", path, b"", headers, None) as (answer, deadline):
            if answer.status != (206 if offset else 200):
                raise self._refusal(place, answer.status, await self._whole(answer, place))
            span = answer.headers.get("Content-Range", "")
            if offset and span != f"bytes {offset}-{size - 1}/{size}":
                raise LinkError(place, "answered with another range", "check what serves there")
            left = size - offset
            while left > 0:
                piece = await answer.content.readexactly(min(_PIECE, left))
                left -= len(piece)
                await keep(piece)
                deadline.reschedule(asyncio.get_running_loop().time() + self._patience_s)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        patience_s: float | None = None,
    ) -> bytes:
        """The body of an answer of 200, empty for 204."""
        place = f"{self._address}{path.partition('?')[0]}"
        async with self._request(method, path, body, headers or {}, patience_s) as (answer, _):
            text = await self._whole(answer, place)
            if answer.status not in (200, 204):
                raise self._refusal(place, answer.status, text)
            return text if answer.status == 200 else b""

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str],
        patience_s: float | None,
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:  # fmt: skip
        assert self._session is not None
        url = self._address + path
        place = f"{self._address}{path.partition('?')[0]}"
        patience_s = self._patience_s if patience_s is None else patience_s
        try:
            async with asyncio.timeout(patience_s) as deadline:
                data: AsyncIterator[bytes] | bytes | None = body or None
                if method == "PATCH":
                    data = self._paced(body, deadline, patience_s)
                    headers = {**headers, "Content-Length": str(len(body))}
                async with self._session.request(
                    method, url, data=data, headers=headers, allow_redirects=False
                ) as answer:
                    if answer.headers.get("Content-Encoding"):
                        raise LinkError(place, "answered with an encoded body", "switch it off")
                    yield answer, deadline
        except TimeoutError as error:
            raise LinkError(
                place, f"stood still for {patience_s:g} s", "look at the link and at its load"
            ) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise LinkError(
                place,
                f"is not trusted ({_verification(error.certificate_error)})",
                "check the address and both certificates",
            ) from error
        except (
            aiohttp.ClientError, asyncio.IncompleteReadError, ssl.SSLError, OSError, ValueError
        ) as error:  # fmt: skip
            if isinstance(error, InputError):
                raise
            raise LinkError(place, *_broken(error)) from error

    async def _paced(
        self, body: bytes, deadline: asyncio.Timeout, patience_s: float
    ) -> AsyncIterator[bytes]:
        now = asyncio.get_running_loop().time
        for start in range(0, len(body), self._bucket.piece):
            piece = body[start : start + self._bucket.piece]
            wait_s = self._bucket.take(len(piece))
            deadline.reschedule(now() + wait_s + patience_s)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self.sent_bytes += len(piece)
            yield piece

    async def _whole(self, answer: aiohttp.ClientResponse, place: str) -> bytes:
        text = b""
        while piece := await answer.content.read(LARGEST_ANSWER + 1 - len(text)):
            text += piece
            if len(text) > LARGEST_ANSWER:
                raise LinkError(
                    place, f"answered with more than {LARGEST_ANSWER} bytes",
                    "check what serves there",
                )  # fmt: skip
        return text

    def _parsed(self, body: bytes, model: type[Answer]) -> Answer:
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise LinkError(
                self._address,
                f"gave an answer that is none of the protocol ({plain(key)}: {first['type']})",
                "check what serves there, and its version",
            ) from error

    def _refusal(self, place: str, status: int, body: bytes) -> InputError:
        if 300 <= status < 400 or status < 200:
            return LinkError(
                place, f"answered with status {status}, which is not followed",
                "give the learner's own address",
            )  # fmt: skip
        try:
            told = Problem.model_validate_json(body)
        except ValidationError:
            return RefusalError(place, f"answered with status {status}", "read its log", status)
        said = plain(told.detail or told.title) or f"status {status}"
        return RefusalError(place, said, plain(told.remedy) or "read its log", status)


def _verification(error: Exception) -> str:
    message = getattr(error, "verify_message", "") or (error.args[-1] if error.args else "")
    return plain(str(message)).lower() or "its certificate"


def _broken(error: BaseException) -> tuple[str, str]:
    cause: BaseException | None = error
    while cause is not None:  # the library's own error of TLS wraps the one that has the reason
        reason = getattr(cause, "reason", None) if isinstance(cause, ssl.SSLError) else None
        if reason:
            said = plain(str(reason)).lower().replace("_", " ")
            return f"ended the connection ({said})", "check both certificates"
        cause = getattr(cause, "os_error", None) or cause.__cause__
    system = getattr(error, "os_error", error)
    said = plain(str(getattr(system, "strerror", None) or system)).lower()
    if said in ("", "none"):
        said = "it broke off the connection"
    return f"cannot be reached ({said})", "start the learner there, check its log"
