"""The private authority and its certificates, for one learner and its robots.

Ed25519 throughout, as for the bundles: small, without parameters to get wrong, and taken by
OpenSSL's TLS 1.3, which is all that either side speaks.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.protocol import ID_PATTERN, LEARNER_ROLE, ROBOT_ROLE

CA_DAYS = 3650
_SKEW = timedelta(hours=1)  # a robot's clock may be behind
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
                   r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Ed25519PrivateKey

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as learner.yaml lists it."""
        return fingerprint(self.certificate)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's DER bytes, in hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def new_authority(days: float = CA_DAYS, name: str = "vla_rl_nodes link") -> Pair:
    """A certificate that may sign those of one learner and its robots, and nothing below them."""
    key = Ed25519PrivateKey.generate()
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        _builder(name, key.public_key(), datetime.now(UTC), days)
        .issuer_name(_common(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return Pair(builder.sign(key, None), key)


def new_learner(authority: Pair, hosts: Sequence[str], days: float) -> Pair:
    """The learner's certificate for the host names and addresses by which robots call it.

    Raises:
        InputError: no host, or one that is neither a name nor an address.
    """
    if not hosts:
        raise InputError("--host", "is missing", "name the host by which robots reach the learner")
    names = [x509.UniformResourceIdentifier(LEARNER_ROLE), *(_host(host) for host in hosts)]
    return issued(authority, "learner", names, ExtendedKeyUsageOID.SERVER_AUTH, days)


def new_robot(authority: Pair, name: str, days: float) -> Pair:
    """A robot's certificate.

    Raises:
        InputError: a name that cannot stand in a path.
    """
    if not re.fullmatch(ID_PATTERN, name) or len(name) > 64:  # X.509 ends common names there
        raise InputError(
            f"robot '{name[:40]}'",
            "is no name for a robot",
            "use at most 64 letters, digits, dots, dashes and underscores",
        )
    names = [x509.UniformResourceIdentifier(ROBOT_ROLE + name)]
    return issued(authority, name, names, ExtendedKeyUsageOID.CLIENT_AUTH, days)


def load_certificate(path: Path) -> x509.Certificate:
    """A PEM certificate.

    Raises:
        InputError: missing, or none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(path, "holds no certificate", "make it with learner keys") from error


def seconds_left(certificate: x509.Certificate) -> float:
    """Seconds until a certificate ends; negative behind that."""
    return (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()


def issued(
    authority: Pair,
    name: str,
    names: Sequence[x509.GeneralName],
    role: x509.ObjectIdentifier,
    days: float,
    start: datetime | None = None,
) -> Pair:
    """A certificate for one use, valid from an hour before ``start`` (now) for some days.

    Args:
        authority: signs it, and outlives it.
        name: the common name.
        names: the alternative names, which say the role.
        role: the extended key usage.
        days: validity.
        start: beginning of that, without the hour for clocks that are behind.
    """
    key = Ed25519PrivateKey.generate()
    signer = authority.certificate
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    start = start or datetime.now(UTC)
    builder = (
        _builder(name, key.public_key(), start, days, signer.not_valid_after_utc)
        .issuer_name(signer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([role]), critical=False)
        .add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    return Pair(builder.sign(authority.key, None), key)


def _builder(
    name: str,
    key: Ed25519PublicKey,
    start: datetime,
    days: float,
    latest: datetime | None = None,
) -> x509.CertificateBuilder:
    end = start + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(_common(name))
        .public_key(key)
        .serial_number(int.from_bytes(os.urandom(19), "big") | 1)
        .not_valid_before(min(start, end) - _SKEW)
        .not_valid_after(end if latest is None else min(end, latest))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _common(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _HOST.fullmatch(text):
        raise InputError(
            f"host '{text[:60]}'", "is no host name and no address", "give one, without a port"
        )
    return x509.DNSName(text)
