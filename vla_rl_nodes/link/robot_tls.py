"""The robot's TLS: it shows its certificate, and speaks to a learner and to nobody else."""

from __future__ import annotations

import ssl

from vla_rl_nodes.link.fields import Certificates
from vla_rl_nodes.link.protocol import LEARNER_ROLE
from vla_rl_nodes.link.tls_files import take_files


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
    take_files(context, files, "robot")
    context.sslobject_class = _LearnerConnection
    return context
