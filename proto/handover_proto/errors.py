"""Errors of requests to a policy server, with their gRPC status codes.

HandoverError
 └─ PolicyError                  a request to a policy server failed
     ├─ InvalidRequest           INVALID_ARGUMENT     the message breaks the contract
     ├─ UnmetPrecondition        FAILED_PRECONDITION  well-formed, but not for this server
     ├─ Overloaded               RESOURCE_EXHAUSTED   try again after retry_after_s
     ├─ DeadlinePassed           DEADLINE_EXCEEDED
     ├─ Superseded               ABORTED              replaced by a newer observation
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
    """A message that breaks the contract; `field` is the path of the wrong field."""

    status = 3

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got}")
        self.field, self.expected, self.got = field, expected, got


class DeadlinePassed(PolicyError):
    """The caller's deadline passed without a reply, or the server saw that it would."""

    status = 4


class Overloaded(PolicyError):
    """The server's queue is full; retry after `retry_after_s` seconds."""

    status = 8

    def __init__(self, message: str, retry_after_s: float = 0.1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnmetPrecondition(PolicyError):
    """A well-formed request for something that this server does not support."""

    status = 9


class Superseded(PolicyError):
    """The request was replaced by a newer observation of the same stream."""

    status = 10


class PolicyFailed(PolicyError):
    """The policy failed on a valid request; only the server's log has the details."""

    status = 13


class ServerUnavailable(PolicyError):
    """The server is not reachable, is starting or draining, or the connection broke."""

    status = 14


class NotAuthorised(PolicyError):
    """The server requires a token or a certificate that the caller did not present."""

    status = 16


BY_STATUS: dict[int, type[PolicyError]] = {
    error.status: error for error in PolicyError.__subclasses__()
}
