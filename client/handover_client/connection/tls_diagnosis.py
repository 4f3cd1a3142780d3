"""Why a connection failed where TLS is the reason; gRPC itself says little more than UNAVAILABLE.

The server is asked once more with Python's own ssl, which tells an expired certificate from one of
a stranger.
"""

import contextlib
import socket
import ssl

from handover_proto import NotAuthorised, PolicyError, UnmetPrecondition

from handover_client.connection.security import ChannelSecurity
from handover_client.errors import UntrustedServer

_LONGEST_PROBE_S = 3.0
_SETTLING_S = 0.5  # TLS 1.3 lets a client in first and refuses its certificate afterwards
# Codes of X509_verify_cert_error_string, OpenSSL's include/openssl/x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _NAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64


def find_tls_fault(
    address: str, security: ChannelSecurity, timeout_s: float = _LONGEST_PROBE_S
) -> PolicyError | None:
    """Tell what of TLS keeps a client from the server; None where it is not TLS.

    Nothing secret is sent: neither the token nor the client's certificate. Of several servers the
    first with a fault counts.
    """
    faults = (_find(part, security, timeout_s) for part in address.split(","))
    return next(filter(None, faults), None)


def _find(address: str, security: ChannelSecurity, timeout_s: float) -> PolicyError | None:
    host, _, port = address.rpartition(":")
    place = (host.strip("[]"), int(port))
    try:
        with socket.create_connection(place, min(timeout_s, _LONGEST_PROBE_S)) as plain:
            return _probe(plain, place[0], address, security)
    except OSError:
        return None  # nobody there, which gRPC tells well enough


def _probe(
    plain: socket.socket, host: str, address: str, security: ChannelSecurity
) -> PolicyError | None:
    try:
        with _context(security).wrap_socket(plain, server_hostname=host) as encrypted:
            if not security.tls:
                return UnmetPrecondition(
                    f"the server at {address} wants TLS: say --tls-ca FILE, with the certificate "
                    "of who signed the server's (or --tls for a public one)"
                )
            return _settle(encrypted, address, security)
    except ssl.SSLCertVerificationError as error:
        return UntrustedServer(_describe(error, address, host))
    except (ssl.SSLError, ConnectionError) as error:
        if not security.tls:
            return None
        return UntrustedServer(
            f"the server at {address} does not speak TLS ({_reason(error)}): leave --tls-ca away "
            "if it is meant to be unencrypted"
        )


def _settle(
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
            f"the server at {address} wants a certificate of its clients: say --client-cert FILE "
            "--client-key FILE"
        )
    return NotAuthorised(
        f"the server at {address} does not accept the certificate of --client-cert: it has to be "
        "valid now and signed by the server's --client-ca"
    )


def _context(security: ChannelSecurity) -> ssl.SSLContext:
    ca = security.ca.decode("ascii", "replace") if security.ca is not None else None
    context = ssl.create_default_context()
    if ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=ca)
    if not security.tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(NotImplementedError):
        context.set_alpn_protocols(["h2"])
    return context


def _describe(error: ssl.SSLCertVerificationError, address: str, host: str) -> str:
    start = f"the certificate of the server at {address}"
    if error.verify_code == _EXPIRED:
        return f"{start} has expired: renew it there (and check this machine's clock)"
    if error.verify_code == _NOT_YET_VALID:
        return f"{start} is not valid yet: check the clocks of both machines"
    if error.verify_code in (_NAME_MISMATCH, _ADDRESS_MISMATCH):
        return (
            f"{start} is for another name: reach the server by a name that is in its certificate, "
            f"or make one with {host} in subjectAltName"
        )
    return (
        f"{start} is not signed by an authority that this client trusts ({error.verify_message}): "
        "--tls-ca has to hold the certificate of who signed it"
    )


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return "the connection was closed"
