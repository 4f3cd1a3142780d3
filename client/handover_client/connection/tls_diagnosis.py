"""Diagnosis of failed TLS connections; gRPC itself reports little more than UNAVAILABLE.

The server is connected to once more with Python's own ssl, which tells an expired certificate from
one of a stranger.
"""

import contextlib
import socket
import ssl

from handover_proto import NotAuthorised, PolicyError, UnmetPrecondition

from handover_client.connection.security import ChannelSecurity
from handover_client.errors import UntrustedServer

_LONGEST_PROBE_S = 3.0
_SETTLING_S = 0.5  # TLS 1.3 lets a client in first and refuses its certificate afterwards

_OTHER_NAME = (
    "is for another name: reach the server by a name that is in its certificate, or make one with "
    "{host} in subjectAltName"
)
# Codes of X509_verify_cert_error_string, OpenSSL's include/openssl/x509_vfy.h
_CERTIFICATE_FAULTS = {
    9: "is not valid yet: check the clocks of both machines",
    10: "has expired: renew it there (and check this machine's clock)",
    62: _OTHER_NAME,
    64: _OTHER_NAME,  # an IP address
}
_UNKNOWN_AUTHORITY = (
    "is not signed by an authority that this client trusts ({reason}): --tls-ca has to hold that "
    "authority's certificate"
)


def find_tls_fault(
    address: str, security: ChannelSecurity, timeout_s: float = _LONGEST_PROBE_S
) -> PolicyError | None:
    """Return what of TLS keeps a client from the server; None where it is not TLS.

    Nothing secret is sent: neither the token nor the client's certificate. Of several servers the
    first with a fault counts.
    """
    for part in address.split(","):
        host, _, port = part.rpartition(":")
        host = host.strip("[]")
        place, patience_s = (host, int(port)), min(timeout_s, _LONGEST_PROBE_S)
        with (
            contextlib.suppress(OSError),  # nobody there, which gRPC reports well enough
            socket.create_connection(place, patience_s) as plain,
        ):
            if fault := _probe(plain, host, part, security):
                return fault
    return None


def _probe(
    plain: socket.socket, host: str, address: str, security: ChannelSecurity
) -> PolicyError | None:
    try:
        with _context(security).wrap_socket(plain, server_hostname=host) as encrypted:
            if security.tls:
                return _find_refusal(encrypted, address, security)
            return UnmetPrecondition(
                f"the server at {address} requires TLS: use --tls-ca FILE, the certificate of the "
                "authority that signed the server's (or --tls for a public one)"
            )
    except ssl.SSLCertVerificationError as error:
        fault = _CERTIFICATE_FAULTS.get(error.verify_code, _UNKNOWN_AUTHORITY)
        text = fault.format(host=host, reason=error.verify_message)
        return UntrustedServer(f"the certificate of the server at {address} {text}")
    except (ssl.SSLError, ConnectionError) as error:
        if not security.tls:
            return None
        reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
        reason = reason.replace("_", " ").lower() or "the connection was closed"
        return UntrustedServer(
            f"the server at {address} does not speak TLS ({reason}): omit --tls-ca if it is meant "
            "to be unencrypted"
        )


def _find_refusal(
    encrypted: ssl.SSLSocket, address: str, security: ChannelSecurity
) -> PolicyError | None:
    """Wait for a refusal that comes after the handshake: gRPC closes, other servers say why."""
    encrypted.settimeout(_SETTLING_S)
    try:
        if encrypted.recv(1):  # the first byte of HTTP/2
            return None
    except TimeoutError:
        return None
    except OSError:
        pass
    if security.client_cert is None:
        return NotAuthorised(
            f"the server at {address} requires a client certificate: use --client-cert FILE "
            "--client-key FILE"
        )
    return NotAuthorised(
        f"the server at {address} does not accept the certificate of --client-cert: it has to be "
        "valid now and signed by the server's --client-ca"
    )


def _context(security: ChannelSecurity) -> ssl.SSLContext:
    if security.ca is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=security.ca.decode("ascii", "replace"))
    if not security.tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(NotImplementedError):
        context.set_alpn_protocols(["h2"])
    return context
