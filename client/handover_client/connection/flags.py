"""Flags of every command that has a --server: the connection's protection, and its timeouts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import tyro
from handover_common import UsageError

if TYPE_CHECKING:
    from handover_client.connection.security import ChannelSecurity

TOKEN_VARIABLE = "HANDOVER_TOKEN"
_LONGEST_S = 100_000

# ruff: noqa: UP045, Optional for tyro's sake: see handover_common.command


@dataclass(frozen=True)
class SecurityFlags:
    """Flags that protect the connection."""

    tls: bool = False
    """Encrypt, and trust public authorities; for any other certificate use --tls-ca."""
    tls_ca: Optional[Path] = None
    """PEM file with the certificate of the server's authority (or with the server's own)."""
    token_file: Optional[Path] = None
    """File with the server's token; the environment variable HANDOVER_TOKEN may hold it instead."""
    client_cert: Optional[Path] = None
    """PEM file with this client's certificate, for a server that requires one."""
    client_key: Optional[Path] = None
    """PEM file with that certificate's key."""


NO_SECURITY = SecurityFlags()
# Beside a command's own flags, and without a prefix.
SecurityOptions = Annotated[SecurityFlags, tyro.conf.OmitArgPrefixes]


def read_security(flags: SecurityFlags, environment: Mapping[str, str]) -> "ChannelSecurity":
    """Read the files that the flags name; raises UsageError for flags that make no sense."""
    if (flags.client_cert is None) != (flags.client_key is None):
        raise UsageError("--client-cert and --client-key belong together: give both")
    from handover_client.connection.security import ChannelSecurity  # gRPC is too slow for --help

    tls = flags.tls or flags.tls_ca is not None
    if flags.client_cert is not None and not tls:
        raise UsageError("--client-cert needs --tls-ca FILE, or --tls")
    return ChannelSecurity(
        tls=tls,
        ca=_read_pem("--tls-ca", flags.tls_ca, "CERTIFICATE"),
        client_cert=_read_pem("--client-cert", flags.client_cert, "CERTIFICATE"),
        client_key=_read_pem("--client-key", flags.client_key, "PRIVATE KEY"),
        token=_read_token(flags.token_file, environment),
    )


def check_timeouts(config: object, *names: str) -> None:
    """Raise UsageError for a timeout in a command's config that is out of range.

    Every wait has an end: none may be infinite.
    """
    for name in names:
        value = getattr(config, name)
        if not 0 < value < _LONGEST_S:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} is {value:g}, expected above 0 and below {_LONGEST_S} s")


def _read_pem(flag: str, path: Path | None, kind: str) -> bytes | None:
    if path is None:
        return None
    data = _read(flag, path)
    if f"{kind}-----".encode() not in data:  # what gRPC makes of it is a handshake that fails
        raise UsageError(f"{flag} {path} holds no PEM {kind.lower()}")
    return data


def _read_token(path: Path | None, environment: Mapping[str, str]) -> str | None:
    if path is None:
        where, text = TOKEN_VARIABLE, environment.get(TOKEN_VARIABLE)
        if not text:
            return None
    else:
        where = f"--token-file {path}"
        text = _read("--token-file", path).decode(errors="replace")
    lines = text.splitlines()
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens or not tokens[0].isascii() or not tokens[0].isprintable():
        raise UsageError(f"{where} holds no token: expected one in a line of its own")
    return tokens[0]


def _read(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{flag} {path} cannot be read: {error.strerror}") from None
