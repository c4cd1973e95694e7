"""The page's certificate and key."""

from __future__ import annotations

import ssl

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.page_settings import Tls
from vla_rl_nodes.operator.secret_file import opened_secret

REMEDY = "correct tls in page.yaml"


def tls_context(files: Tls) -> ssl.SSLContext:
    """What HTTPS is spoken with.

    Raises:
        InputError: a file is missing, is not what it should be, or the key does not fit, or can be
            used by others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with opened_secret(files.key, REMEDY) as key:
        try:
            # A key with a password would make OpenSSL ask for it on the terminal.
            context.load_cert_chain(files.certificate, f"/dev/fd/{key}", password=lambda: "")
        except FileNotFoundError as error:
            raise InputError(files.certificate, "no such file", REMEDY) from error
        except (OSError, ssl.SSLError) as error:
            problem = f"is no certificate with the key {files.key.name}"
            raise InputError(files.certificate, problem, REMEDY) from error
    return context
