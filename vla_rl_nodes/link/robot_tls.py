"""The robot's TLS: it shows its certificate, and speaks to a learner and to nobody else."""

from __future__ import annotations

import ssl
from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.protocol import LEARNER_ROLE
from vla_rl_nodes.link.robot_settings import Certificates


class _LearnerConnection(ssl.SSLObject):
    """A connection that ends in its handshake when the other side is no learner.

    The same authority signs robots too: a robot whose key was stolen must not pose as a learner.
    """

    def do_handshake(self) -> None:
        super().do_handshake()
        shown = self.getpeercert() or {}
        names = shown.get("subjectAltName", ())
        if ("URI", LEARNER_ROLE) not in names:
            raise ssl.SSLCertVerificationError("its certificate is not a learner's")


def robot_context(files: Certificates) -> ssl.SSLContext:
    """TLS 1.3 with both certificates; chain, host name and role are checked.

    Raises:
        InputError: a file is missing, is not what it should be, or the key does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.sslobject_class = _LearnerConnection
    try:
        context.load_verify_locations(files.authority)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(files.authority, error, "holds no certificate") from error
    try:
        # A key with a password would make OpenSSL ask for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except FileNotFoundError as error:
        missing = files.key if files.certificate.exists() else files.certificate
        raise _unusable(missing, error, "") from error
    except (OSError, ssl.SSLError) as error:
        raise _unusable(
            files.certificate, error, f"is no certificate with the key {files.key.name}"
        ) from error
    return context


def _unusable(path: Path, error: Exception, otherwise: str) -> InputError:
    system = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
    problem = str(getattr(error, "strerror", "") or error).lower() if system else otherwise
    return InputError(path, problem, "make the robot's files with `vla-rl learner keys`")
