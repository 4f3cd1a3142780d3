"""One word for what became of a request, for metrics, logs and recordings: gRPC's status names."""

from handover_proto import (
    DeadlinePassed,
    InvalidRequest,
    NotAuthorised,
    Overloaded,
    PolicyFailed,
    ServerUnavailable,
    Superseded,
    UnmetPrecondition,
)

from handover_server.requests.request import Outcome

CHUNK = "ok"
_NAMES = {
    InvalidRequest: "invalid_argument",
    DeadlinePassed: "deadline_exceeded",
    Overloaded: "resource_exhausted",
    UnmetPrecondition: "failed_precondition",
    Superseded: "aborted",
    PolicyFailed: "internal",
    ServerUnavailable: "unavailable",
    NotAuthorised: "unauthenticated",
}


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome: ok for a chunk, else the status in lower case."""
    if not isinstance(outcome, Exception):
        return CHUNK
    return _NAMES.get(type(outcome), "unknown")
