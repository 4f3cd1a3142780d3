"""Outcome of a request, a chunk or an error: its name, and incidents for unexpected errors.

Names are gRPC's status names in lower case, for metrics, logs and recordings.
"""

import logging
import secrets

from handover_proto import (
    DeadlinePassed,
    InvalidRequest,
    NotAuthorised,
    Overloaded,
    PolicyError,
    PolicyFailed,
    PolicyOutput,
    ServerUnavailable,
    Superseded,
    UnmetPrecondition,
)

logger = logging.getLogger(__name__)

Outcome = PolicyOutput | PolicyError

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
    """Return the name of an outcome: ok for a chunk, else the status in lower case."""
    return _NAMES.get(type(outcome), "unknown") if isinstance(outcome, Exception) else CHUNK


def without_frames(outcome: Outcome) -> Outcome:
    """Drop an error's traceback and what it came from: their frames hold the whole request.

    The frames hold the error in turn, so that nothing would free them but a collection.
    """
    if isinstance(outcome, PolicyError):
        outcome.__traceback__ = outcome.__context__ = outcome.__cause__ = None
    return outcome


def record_incident(what: str, error: BaseException) -> PolicyFailed:
    """Log an unexpected error with its traceback under a new id; returns the client's error.

    The client learns the id and nothing else: the error may hold paths or data of others.
    """
    incident = secrets.token_hex(4)
    logger.error("incident %s: %s", incident, what, exc_info=error)
    return PolicyFailed(f"{what}; the server's log has the details under incident {incident}")
