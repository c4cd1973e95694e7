"""What every route does first and last: who asks, what came, and how it is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.identity import admitted
from vla_rl_nodes.link.problems import RefusedError
from vla_rl_nodes.link.protocol import ID_PATTERN, PROBLEM_TYPE, Message
from vla_rl_nodes.link.settings import LearnerSettings, Robot
from vla_rl_nodes.remote.link import plain

SLOWEST_BYTES_PER_S = 1 << 14  # a body that comes more slowly is not waited for
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ROBOT = web.RequestKey("robot", str)
RIGHTS = web.RequestKey("rights", Robot)


def gate(settings: Callable[[], LearnerSettings], log: Callable[[str], None]) -> Middleware:
    """The middleware: nobody who is not listed comes further, and all problems are told alike."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        who = str(request.remote)
        try:
            who, rights = _who(request, settings())
            request[ROBOT], request[RIGHTS] = who, rights
            return await handler(request)
        except RefusedError as error:
            log(f"{who} {request.method} {_shown(request)}: {error.status.value} {error}")
            return answer_problem(error)
        except InputError as error:  # of the learner's own
            log(f"{who} {request.method} {_shown(request)}: 503 {error}")
            return answer_problem(
                RefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "learner", error.problem, "read its log"
                )
            )
        except web.HTTPException as error:
            return _unknown(who, request, error, log)
        except (ConnectionError, asyncio.CancelledError):
            log(f"{who} {request.method} {_shown(request)}: the connection was cut")
            raise
        except Exception as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            at = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"
            log(f"{who} {request.method} {_shown(request)}: 500 {type(error).__name__} in {at}")
            return answer_problem(
                RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "learner", "failed", "read its log")
            )

    return guarded


def outermost(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], log: Callable[[str], None]
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """An application's handler; what is refused before its middlewares is told alike, too."""

    async def told(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _unknown(str(request.remote), request, error, log)

    return told


def _unknown(
    who: str, request: web.BaseRequest, error: web.HTTPException, log: Callable[[str], None]
) -> web.Response:
    log(f"{who} {request.method} {_shown(request)}: {error.status}")
    refusal = RefusedError(
        HTTPStatus(error.status), _shown(request), "is not of the protocol", "read openapi.yaml"
    )
    response = answer_problem(refusal)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _who(request: web.Request, settings: LearnerSettings) -> tuple[str, Robot]:
    channel = request.transport and request.transport.get_extra_info("ssl_object")
    der = channel.getpeercert(True) if channel else None
    if not der:
        raise RefusedError(
            HTTPStatus.FORBIDDEN, "certificate", "is missing", "show a robot's certificate"
        )
    try:
        name = admitted(der, settings.robots)
    except InputError as error:
        raise RefusedError(
            HTTPStatus.FORBIDDEN, error.place, error.problem, error.remedy
        ) from error
    return name, settings.robots[name]


def identifier(request: web.Request, key: str, pattern: str = ID_PATTERN) -> str:
    """A name in the path.

    Raises:
        RefusedError: it is none; it never reaches the disk then.
    """
    value = request.match_info[key]
    if not re.fullmatch(pattern, value, re.ASCII):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "path", f"'{plain(value)[:60]}' is no {key}", "correct it"
        )
    return value


async def body(request: web.Request, largest: int, patience_s: float) -> bytes:
    """The whole body of a request, of the announced length.

    Raises:
        RefusedError: no length, too many bytes, too slow, or cut.
    """
    length = request.content_length
    if length is None or "Transfer-Encoding" in request.headers:
        raise RefusedError(
            HTTPStatus.LENGTH_REQUIRED, "body", "comes without its length", "send Content-Length"
        )
    if length > largest:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"is larger than {largest} bytes",
            "send less at once",
        )  # fmt: skip
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "body", "is encoded", "send it as it is"
        )
    try:
        async with asyncio.timeout(patience_s + length / SLOWEST_BYTES_PER_S):
            pieces = bytearray()
            async for piece in request.content.iter_any():
                pieces += piece
    except TimeoutError as error:
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, "body", "came too slowly", "send smaller parts"
        ) from error
    except (ClientError, HttpProcessingError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "body", "was cut", "send it again") from error
    return bytes(pieces)


def answer(message: Message) -> web.Response:
    """A message of the protocol as an answer of 200."""
    return web.json_response(text=message.body())


def answer_problem(error: RefusedError) -> web.Response:
    """A refusal; the connection ends with those behind which a body may still be coming."""
    response = web.Response(
        text=error.told().body(), status=error.status.value, content_type=PROBLEM_TYPE
    )
    if error.status in (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.LENGTH_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.FORBIDDEN, HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ):  # fmt: skip
        response.force_close()
    return response


def _shown(request: web.BaseRequest) -> str:
    return plain(request.path_qs.partition("?")[0])[:120]
