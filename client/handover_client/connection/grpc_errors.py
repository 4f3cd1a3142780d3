"""Translation of gRPC's errors into the contract's: one table for both clients."""

from collections.abc import Callable, Iterable

import grpc
from google.protobuf.message import DecodeError
from handover_common import printable
from handover_proto import (
    DeadlinePassed,
    InvalidRequest,
    NotAuthorised,
    Overloaded,
    PolicyError,
    PolicyFailed,
    ServerUnavailable,
    Superseded,
    UnmetPrecondition,
)
from handover_proto import policy_pb2 as pb
from handover_proto.wire import ERROR_METADATA_KEY, decode_error

_WHAT_TO_CHECK = "check the address, that the server is running, and any firewalls between"


def _invalid(message: str) -> PolicyError:
    return InvalidRequest("request", "a message that the server accepts", message)


# Statuses without an ErrorDetail come from gRPC itself, a proxy, or another kind of server.
_BY_STATUS: dict[grpc.StatusCode, Callable[[str], PolicyError]] = {
    grpc.StatusCode.CANCELLED: ServerUnavailable,
    grpc.StatusCode.UNKNOWN: PolicyFailed,
    grpc.StatusCode.INVALID_ARGUMENT: _invalid,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlinePassed,
    grpc.StatusCode.NOT_FOUND: UnmetPrecondition,
    grpc.StatusCode.ALREADY_EXISTS: UnmetPrecondition,
    grpc.StatusCode.PERMISSION_DENIED: NotAuthorised,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthorised,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.FAILED_PRECONDITION: UnmetPrecondition,
    grpc.StatusCode.ABORTED: Superseded,
    grpc.StatusCode.OUT_OF_RANGE: UnmetPrecondition,
    grpc.StatusCode.UNIMPLEMENTED: UnmetPrecondition,
    grpc.StatusCode.INTERNAL: PolicyFailed,
    grpc.StatusCode.UNAVAILABLE: ServerUnavailable,
    grpc.StatusCode.DATA_LOSS: PolicyFailed,
}

TOO_LARGE = "message larger than max"

_EXPLANATIONS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "the server at {address} did not answer in time",
    grpc.StatusCode.UNAVAILABLE: "no policy server answers at {address} ({details}); "
    + _WHAT_TO_CHECK,
    grpc.StatusCode.UNIMPLEMENTED: "the service at {address} is not a Handover policy server, "
    "or an older one ({details})",
}


def typed_error(error: grpc.RpcError, address: str) -> PolicyError:
    """Return the error that the server sent with a failed call, else that of the call's status."""
    detail = _error_detail(error)
    if detail is not None:
        return decode_error(detail)
    if TOO_LARGE in (error.details() or "").lower():  # type: ignore[attr-defined]
        # gRPC's own, on either side, under a status that otherwise passes
        return UnmetPrecondition(
            f"a message between this client and the server at {address} is too large: "
            f"{printable(error.details()[:200])}"  # type: ignore[attr-defined]
        )
    code = error.code()  # type: ignore[attr-defined]  # a failed call is a Call too
    details = printable((error.details() or "no details").splitlines()[0][:200])  # type: ignore
    text = _EXPLANATIONS.get(code, "the server at {address} answered {status}: {details}")
    kind = _BY_STATUS.get(code, PolicyError)
    return kind(text.format(address=address, status=code.name, details=details))


def _error_detail(error: grpc.RpcError) -> pb.ErrorDetail | None:
    metadata: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()  # type: ignore
    for key, value in metadata:
        if key == ERROR_METADATA_KEY and isinstance(value, bytes):
            try:
                detail = pb.ErrorDetail.FromString(value)
            except DecodeError:
                return None
            # a detail about another status than the call's is nothing to go by
            return detail if detail.status == error.code().value[0] else None  # type: ignore[attr-defined]
    return None
