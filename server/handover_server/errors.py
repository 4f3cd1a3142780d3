"""What keeps a server from starting, or from taking another checkpoint."""

from handover_common import HandoverError


class ServingError(HandoverError):
    """The server cannot start: a port that is taken, an address that it may not listen on."""


class ReloadRefused(HandoverError):
    """Another checkpoint cannot take the place of the one that is served."""
