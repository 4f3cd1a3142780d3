"""Every error that Handover raises on purpose, and what each is called on the wire.

HandoverError                    one clear line: what was wrong, what was expected, what to do
 ├─ UsageError                   the command line is off; the command exits with 2
 ├─ MissingExtra                 an optional dependency is not installed
 └─ PolicyError                  a request to a policy server failed
     ├─ InvalidRequest           INVALID_ARGUMENT     the message breaks the contract
     ├─ UnmetPrecondition        FAILED_PRECONDITION  well-formed, but not for this server
     ├─ Overloaded               RESOURCE_EXHAUSTED   try again after retry_after_s
     ├─ DeadlinePassed           DEADLINE_EXCEEDED
     ├─ Superseded               ABORTED              a newer observation took its place
     ├─ NotAuthorised            UNAUTHENTICATED
     ├─ ServerUnavailable        UNAVAILABLE          not reachable, starting, or draining
     └─ PolicyFailed             INTERNAL             the policy failed; the server's log says why

Packages add their own below HandoverError (a bad dataset, a bad checkpoint). The number beside each
PolicyError is gRPC's status code, so this module needs no grpc.
"""

from typing import ClassVar


class HandoverError(Exception):
    """What a user can act on; commands print it as one line and exit with 1."""

    def lines(self) -> list[str]:
        """Give what a command prints: one line, and what that line announces below it."""
        return [" ".join(str(self).split())]


class UsageError(HandoverError):
    """The command line does not make sense; commands exit with 2."""


class MissingExtra(HandoverError):
    """A command needs packages that its extra installs."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed: "
            f'this command needs the extra {extra!r}; run: pip install "handover[{extra}]"'
        )


class PolicyError(HandoverError):
    """A request to a policy server failed; `status` is gRPC's code for it."""

    status: ClassVar[int] = 2  # UNKNOWN


class InvalidRequest(PolicyError):
    """The message breaks the contract: `field` is the path of what is wrong in it."""

    status = 3

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got}")
        self.field, self.expected, self.got = field, expected, got


class DeadlinePassed(PolicyError):
    """No answer within the caller's deadline, or the server saw that there would be none."""

    status = 4


class Overloaded(PolicyError):
    """The server's queue is full; worth trying again after `retry_after_s` seconds."""

    status = 8

    def __init__(self, message: str, retry_after_s: float = 0.1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnmetPrecondition(PolicyError):
    """A well-formed request for something that this server does not do."""

    status = 9


class Superseded(PolicyError):
    """A newer observation of the same stream took this one's place."""

    status = 10


class PolicyFailed(PolicyError):
    """The policy failed on a valid request; the details are in the server's log alone."""

    status = 13


class ServerUnavailable(PolicyError):
    """No server there, or it is starting, draining, or was cut off."""

    status = 14


class NotAuthorised(PolicyError):
    """The server wants a token or a certificate that the caller did not show."""

    status = 16


BY_STATUS: dict[int, type[PolicyError]] = {
    error.status: error
    for error in (
        InvalidRequest,
        DeadlinePassed,
        Overloaded,
        UnmetPrecondition,
        Superseded,
        PolicyFailed,
        ServerUnavailable,
        NotAuthorised,
    )
}
