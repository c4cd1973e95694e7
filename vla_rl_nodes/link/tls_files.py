"""One side's certificates, into a TLS context."""

from __future__ import annotations

import ssl
from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.fields import Certificates


def take_files(context: ssl.SSLContext, files: Certificates, whose: str) -> None:
    """Lets a context speak TLS 1.3 alone, check strictly, and show this side's certificate.

    Args:
        context: changed.
        files: of this side.
        whose: ``robot`` or ``learner``, for the words of an error.

    Raises:
        InputError: a file is missing, is not what it should be, or the key does not fit.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(files.authority)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(files.authority, error, "holds no certificate", whose) from error
    try:
        # A key with a password would make OpenSSL ask for it on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except FileNotFoundError as error:
        missing = files.key if files.certificate.exists() else files.certificate
        raise _unusable(missing, error, "", whose) from error
    except (OSError, ssl.SSLError) as error:
        problem = f"is no certificate with the key {files.key.name}"
        raise _unusable(files.certificate, error, problem, whose) from error


def _unusable(path: Path, error: Exception, otherwise: str, whose: str) -> InputError:
    system = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
    problem = str(getattr(error, "strerror", "") or error).lower() if system else otherwise
    return InputError(path, problem, f"make the {whose}'s files with `vla-rl learner keys`")
