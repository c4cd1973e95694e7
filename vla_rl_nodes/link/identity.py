"""Who is at the other end of a connection: TLS on both sides, then the learner's own list."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.fields import Certificates
from vla_rl_nodes.link.protocol import ROBOT_ROLE
from vla_rl_nodes.link.settings import Robot
from vla_rl_nodes.link.tls_files import take_files

_REMEDY = "take this robot's certificate, as `vla-rl learner keys` made it"


@dataclass(frozen=True)
class Shown:
    """What a certificate says: the robot's name, its fingerprint and its last moment."""

    robot: str
    fingerprint: str
    until: datetime


def learner_context(files: Certificates, log: Callable[[str], None]) -> ssl.SSLContext:
    """TLS 1.3 that refuses whoever shows no certificate of the authority for a client.

    Args:
        files: of the learner.
        log: told one line for each connection that is refused.

    Raises:
        InputError: a file is missing, is not what it should be, or the key does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _told(log)
    take_files(context, files, "learner")
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # no session goes on under a certificate that is not shown again
    return context


@lru_cache(maxsize=1024)
def shown_by(der: bytes) -> Shown:
    """What a certificate that TLS has let through says of its bearer.

    Raises:
        InputError: it is none of a robot.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        common = [
            str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise InputError("certificate", "names no robot", _REMEDY) from error
    robot = uris[0].removeprefix(ROBOT_ROLE) if len(uris) == 1 else ""
    if len(uris) != 1 or not uris[0].startswith(ROBOT_ROLE) or common != [robot]:
        raise InputError("certificate", "is not a robot's", _REMEDY)
    return Shown(robot, hashlib.sha256(der).hexdigest(), certificate.not_valid_after_utc)


def admitted(der: bytes, robots: Mapping[str, Robot]) -> str:
    """The name of the robot that a certificate admits now.

    Raises:
        InputError: in one line, why it is not let in.
    """
    shown = shown_by(der)
    # A connection may outlive the certificate that opened it.
    if datetime.now(UTC) > shown.until:
        raise InputError("certificate", "has expired", "renew it with `vla-rl learner keys`")
    robot = robots.get(shown.robot)
    if robot is None:
        raise InputError(
            "certificate", "names a robot that learner.yaml does not list", "list it there"
        )
    if shown.fingerprint not in robot.certificate_sha256:
        raise InputError(
            "certificate",
            f"{shown.fingerprint[:16]} is not listed for robot {shown.robot}",
            "list its fingerprint in learner.yaml, unless it was taken out on purpose",
        )
    return shown.robot


def _told(log: Callable[[str], None]) -> type[ssl.SSLObject]:
    """asyncio says nothing of a handshake that fails; a person wants to know."""

    class RobotConnection(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                said = getattr(error, "verify_message", None) or error.reason or str(error)
                log(f"connection refused: {str(said).lower().replace('_', ' ')}")
                raise

    return RobotConnection
