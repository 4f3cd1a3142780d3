"""Bearer tokens: who may send requests, and as which client, for all protocols."""

import hashlib
import hmac
import logging
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handover_proto import NotAuthorised

from handover_server.errors import ServingError

logger = logging.getLogger(__name__)

_LEAST_CHARS = 24
_MAKE_ONE = "make one with: openssl rand -base64 32"


@dataclass(frozen=True)
class Identity:
    """A client, whose requests are counted together; `name` may be logged, it is no secret."""

    name: str


ANYONE = Identity("anyone")


class TokenCheck:
    """Accepts clients that present one of the tokens; everyone, if there are none.

    Only digests are kept, so that no dump or log of this object contains a token.
    """

    def __init__(self, tokens: Sequence[str] = ()) -> None:
        self._digests = tuple(map(_digest, tokens))

    @property
    def names(self) -> tuple[str, ...]:
        """The clients' names, in the order of their tokens."""
        return tuple(map(_name, self._digests))

    @property
    def is_open(self) -> bool:
        """Whether everyone is accepted."""
        return not self._digests

    def replace(self, tokens: Sequence[str]) -> None:
        """Replace the tokens, for all later requests."""
        self._digests = tuple(map(_digest, tokens))

    def identify(self, token: str | None, peer: str = "") -> Identity:
        """Return the client of a request: its token's; without tokens, that of the address `peer`.

        Raises NotAuthorised for a missing or unknown token.
        """
        if not self._digests:
            return Identity(peer) if peer else ANYONE
        if not token:
            raise NotAuthorised(
                "this server requires a token, and the request has none; give one by --token-file "
                "or HANDOVER_TOKEN (metadata: authorization: Bearer TOKEN)"
            )
        shown = _digest(token)
        # all are compared, so that the time does not reveal which one it was
        matches = [hmac.compare_digest(known, shown) for known in self._digests]
        if not any(matches):
            raise NotAuthorised(
                "the token is not one of this server's; it may have been replaced: "
                "ask the server's operator"
            )
        return Identity(_name(shown))


def bearer_token(header: str | bytes | None) -> str | None:
    """Return the token of an authorization header, "Bearer TOKEN"; None if it has none."""
    if isinstance(header, bytes):
        header = header.decode(errors="replace")
    scheme, _, token = (header or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def read_tokens(path: Path) -> list[str]:
    """Read a file of tokens, one per line; several let one be replaced by another.

    Empty lines and lines that begin with # are skipped. Raises ServingError for a file that
    others may read, that holds no token or one that could be guessed, or that is half written.
    """
    check_private(path, "token file")
    try:
        lines = path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError(f"the token file {path} cannot be read: {_reason(error)}") from None
    if lines[-1].strip():  # a prefix of a token would let in whoever has that much of it
        raise ServingError(
            f"the token file {path} ends within a line, as one that is half written; "
            f"end its last line with a newline: echo >> {path}"
        )
    tokens = []
    for number, line in enumerate(lines, start=1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if len(token) < _LEAST_CHARS or not token.isascii() or not token.isprintable():
            raise ServingError(
                f"line {number} of the token file {path}: expected at least {_LEAST_CHARS} "
                f"printable ASCII characters, got {len(token)} characters; {_MAKE_ONE}"
            )
        if " " in token:
            raise ServingError(f"line {number} of the token file {path}: a token has no spaces")
        tokens.append(token)
    if not tokens:
        raise ServingError(f"the token file {path} holds no token; {_MAKE_ONE}")
    return tokens


def check_private(path: Path, what: str) -> None:
    """Raise ServingError for a secret that all users of the machine may read; warn of a group's.

    Group-readable is allowed: container runtimes mount secrets that way.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ServingError(f"the {what} {path} cannot be read: {_reason(error)}") from None
    if not stat.S_ISREG(mode):
        raise ServingError(f"the {what} {path} is not a file")
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ServingError(
            f"the {what} {path} has mode {stat.S_IMODE(mode):04o}: other users of this machine "
            f"could use it; run: chmod 600 {path}"
        )
    if mode & stat.S_IRGRP:
        logger.warning("the %s %s may be read by its group", what, path)


def _name(digest: bytes) -> str:
    """Name a token, the same wherever it stands in the file: printf %s TOKEN | sha256sum."""
    return f"token {digest.hex()[:8]}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return getattr(error, "strerror", None) or "it is not text"
