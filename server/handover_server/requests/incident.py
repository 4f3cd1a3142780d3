"""What a client learns of a failure that is not its own: an id, and nothing else."""

import logging
import secrets

from handover_proto import PolicyFailed

logger = logging.getLogger(__name__)


def record_incident(what: str, error: BaseException) -> PolicyFailed:
    """Log `error` with its traceback under a new id; returns what the client may be told."""
    incident = secrets.token_hex(4)
    logger.error("incident %s: %s", incident, what, exc_info=error)
    return PolicyFailed(f"{what}; the server's log has the details under incident {incident}")
