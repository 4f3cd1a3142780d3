"""Errors of a request to a policy server, and what each is called on the wire.

HandoverError
 └─ PolicyError                  a request to a policy server failed
     ├─ InvalidRequest           INVALID_ARGUMENT     the message breaks the contract
     ├─ UnmetPrecondition        FAILED_PRECONDITION  well-formed, but not for this server
     ├─ Overloaded               RESOURCE_EXHAUSTED   try again after retry_after_s
     ├─ DeadlinePassed           DEADLINE_EXCEEDED
     ├─ Superseded               ABORTED              a newer observation took its place
     ├─ NotAuthorised            UNAUTHENTICATED
     ├─ ServerUnavailable        UNAVAILABLE          not reachable, starting, or draining
     └─ PolicyFailed             INTERNAL             the policy failed; the server's log says why

The number beside each is gRPC's status code, so this module needs no grpc.
"""

from typing import ClassVar

from handover_common import HandoverError


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
